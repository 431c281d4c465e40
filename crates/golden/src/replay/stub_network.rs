//! The small network behind the cases about losses, and what they ask of it.

use super::Replayed;
use diffusion_schedule::{Boundary, Preconditioned, Preconditioning};
use tch::{Device, Kind, Tensor};
use testkit::{StubBackbone, formula};

/// The stub denoiser.
pub(super) type Stub = Preconditioned<StubBackbone>;

/// A network that is trained, in the EDM form, with the weights of `role`.
pub(super) fn trained(role: &str) -> Stub {
    stub(role, Preconditioning::default())
}

/// A network that is trained, in the boundary form of consistency models.
pub(super) fn trained_with_boundary(role: &str) -> Stub {
    stub(role, Preconditioning::Boundary(Boundary::default()))
}

/// The same network without gradients of its own.
pub(super) fn frozen(network: Stub) -> Stub {
    network.parameters().set_requires_grad(false);
    network
}

fn stub(role: &str, preconditioning: Preconditioning) -> Stub {
    let network = Preconditioned::new(StubBackbone::new(Device::Cpu), preconditioning);
    formula::fill(network.parameters(), &format!("{role}."));
    network
}

/// The losses per sample, `scale` times their mean, and the gradients of that in the trained network.
pub(super) fn loss_and_gradients(per_sample: &Tensor, scale: f64, network: &Stub) -> Replayed {
    let loss = per_sample.mean(Kind::Float) * scale;
    loss.backward();
    let mut replayed =
        Replayed::from([("out.loss_per_sample", per_sample.detach()), ("out.loss", loss.detach())]);
    for entry in network.parameters().trained() {
        replayed.insert(format!("out.grad.{}", entry.name), entry.tensor.grad());
    }
    replayed
}
