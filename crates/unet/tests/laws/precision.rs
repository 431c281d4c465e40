//! Networks compute in half precision where they are asked to.

use crate::networks::{Subject, all};
use libtorch_ext::Autocast;
use tch::{Device, Kind, Tensor};

fn norm(x: &Tensor) -> f64 {
    x.to_kind(Kind::Double).norm().double_value(&[])
}

/// The answer, and the gradient of the image: `autocast` lives during the forward pass.
fn pass(subject: &Subject, autocast: Option<Autocast>) -> [Tensor; 2] {
    let x = subject.x.detach().copy().set_requires_grad(true);
    let Subject { network, c_noise, cond, .. } = subject;
    let answer = network.forward(&x, c_noise, cond, None).to_kind(Kind::Float);
    let loss = answer.square().sum(Kind::Float);
    drop(autocast);
    loss.backward();
    [answer.detach(), x.grad()]
}

#[test]
fn bf16_is_close_forwards_and_backwards() {
    for subject in all() {
        let exact = pass(&subject, None);
        let rounded = pass(&subject, Some(Autocast::bf16(Device::Cpu)));
        for (what, (rounded, exact)) in
            ["answer", "gradient"].iter().zip(rounded.iter().zip(&exact))
        {
            let error = norm(&(rounded - exact)) / norm(exact);
            assert!(error < 0.1, "{}: {what} is off by {error}", subject.name);
            assert!(error > 0.0, "{}: {what} was not rounded", subject.name);
        }
    }
}
