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
    pub(crate) fn new(tensors: &mut Tensors, name: &str, [from, to]: [i64; 2]) -> Self {
        let weight = tensors.add(&format!("{name}.weight"), &[to, from]);
        Self { weight, bias: tensors.add(&format!("{name}.bias"), &[to]) }
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
