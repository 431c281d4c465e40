//! `sferd_shift_unet*`: the student with its gradient branch, with weights by formula.

use super::{Replayed, config};
use crate::Result;
use diffusion_core::Backbone;
use tch::Device;
use testkit::{GoldenCase, formula};
use unet::{ShiftUnet, ShiftUnetConfig};

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let network = ShiftUnet::zeroed(&config::<ShiftUnetConfig>(case, &[])?, Device::Cpu)?;
    formula::fill(network.parameters(), "");
    let (t, z) = (case.tensor("in.t")?, case.tensor("in.z")?);
    let _no_grad = tch::no_grad_guard();
    let evaluate = |x, t, z| network.forward_with_gradient(x, t, z, None);
    let (prediction, gradient) = evaluate(case.tensor("in.x")?, t, z);
    let mut replayed = Replayed::from([("out.prediction", prediction), ("out.gradient", gradient)]);
    if let Some(faint) = case.tensors.get("in.x_faint") {
        let (prediction, gradient) = evaluate(faint, &t.narrow(0, 0, 1), &z.narrow(0, 0, 1));
        replayed.insert("out.prediction_faint", prediction);
        replayed.insert("out.gradient_faint", gradient);
    }
    Ok(replayed)
}
