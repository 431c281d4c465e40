//! A fully connected layer.

use crate::tensors::Tensors;
use tch::Tensor;

/// A fully connected layer with bias.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `features`: `[in, out]`.
    pub(crate) fn new(tensors: &mut Tensors, name: &str, features: [i64; 2]) -> Self {
        Self::named(tensors, ["weight", "bias"].map(|part| format!("{name}.{part}")), features)
    }

    /// The same with the names of weight and bias.
    pub(crate) fn named(
        tensors: &mut Tensors,
        [weight, bias]: [String; 2],
        [from, to]: [i64; 2],
    ) -> Self {
        let weight = tensors.add(&weight, &[to, from]);
        Self { weight, bias: tensors.add(&bias, &[to]) }
    }

    /// `[…, in]` to `[…, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }

    /// The same without the bias.
    pub(crate) fn forward_without_bias(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, None::<&Tensor>)
    }
}
