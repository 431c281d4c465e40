//! The network behind the reference values of losses.

use crate::formula;
use diffusion_core::{Backbone, Cond, Noise, Parameters, shape};
use tch::{Device, Kind, Tensor};

/// Two convolutions on three channels: big enough to have gradients, small enough to be checked by hand.
///
/// ```text
/// F(x; c) = conv2(silu(conv1(x) + c e))
/// ```
///
/// Parameters `conv1.weight [8, 3, 3, 3]`, `conv1.bias [8]`, `e [8]`, `conv2.weight [3, 8, 3, 3]`, `conv2.bias [3]`,
/// filled by [`formula`] with the prefix `student.`; fill them again for another role. Conditions and dropout are
/// ignored.
///
/// # Example
/// ```
/// use diffusion_core::Backbone;
/// use testkit::{StubBackbone, formula};
/// let teacher = StubBackbone::new(tch::Device::Cpu);
/// formula::fill(teacher.parameters(), "teacher.");
/// assert_eq!(*teacher.parameters().get("e").unwrap(), formula::value("teacher.e", &[8]));
/// ```
#[derive(Debug)]
pub struct StubBackbone {
    parameters: Parameters,
    conv1: [Tensor; 2],
    e: Tensor,
    conv2: [Tensor; 2],
}

impl StubBackbone {
    /// The network in `f32` as a student.
    pub fn new(device: Device) -> Self {
        Self::with_kind(device, Kind::Float)
    }

    /// The network as a student, computing in `kind`; inputs are cast to it.
    pub fn with_kind(device: Device, kind: Kind) -> Self {
        let mut parameters = Parameters::new(device);
        let mut zeros =
            |name, shape: &[i64]| parameters.trainable(name, Tensor::zeros(shape, (kind, device)));
        let conv1 = [zeros("conv1.weight", &[8, 3, 3, 3]), zeros("conv1.bias", &[8])];
        let e = zeros("e", &[8]);
        let conv2 = [zeros("conv2.weight", &[3, 8, 3, 3]), zeros("conv2.bias", &[3])];
        formula::fill(&parameters, "student.");
        Self { parameters, conv1, e, conv2 }
    }
}

impl Backbone for StubBackbone {
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        _cond: &Cond,
        _dropout: Option<&mut Noise>,
    ) -> Tensor {
        let kind = self.e.kind();
        let time = shape::per_image(&c_noise.to_kind(kind), x) * self.e.view([1, -1, 1, 1]);
        let hidden = conv(&x.to_kind(kind), &self.conv1) + time;
        conv(&hidden.silu(), &self.conv2)
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn twin(&self) -> Box<dyn Backbone> {
        let twin = Self::with_kind(self.parameters.device(), self.e.kind());
        twin.parameters.copy_from(&self.parameters).expect("twins have the same tensors");
        Box::new(twin)
    }
}

fn conv(x: &Tensor, [weight, bias]: &[Tensor; 2]) -> Tensor {
    x.conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(network: &dyn Backbone, kind: Kind) -> Tensor {
        let x = formula::noise("x", &[2, 3, 8, 8]).to_kind(kind);
        network.forward(&x, &Tensor::from_slice(&[0.1, -0.7]), &Cond::none(), None)
    }

    #[test]
    fn a_twin_answers_alike_and_shares_nothing() {
        let network = StubBackbone::new(Device::Cpu);
        formula::fill(network.parameters(), "teacher.");
        let twin = network.twin();
        let before = answer(&network, Kind::Float);
        assert_eq!(answer(&twin, Kind::Float), before);
        formula::fill(twin.parameters(), "fake.");
        assert_ne!(answer(&twin, Kind::Float), before);
        assert_eq!(answer(&network, Kind::Float), before);
    }

    #[test]
    fn both_precisions_agree() {
        let single = answer(&StubBackbone::new(Device::Cpu), Kind::Float);
        let double = answer(&StubBackbone::with_kind(Device::Cpu, Kind::Double), Kind::Double);
        assert_eq!(double.kind(), Kind::Double);
        assert!(crate::max_relative_error(&single, &double) < 1e-6);
    }
}
