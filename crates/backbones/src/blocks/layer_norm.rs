//! Layer normalization.

use crate::tensors::Tensors;
use tch::Tensor;

/// Normalization over the last axis.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn new(tensors: &mut Tensors, name: &str, width: i64, epsilon: f64) -> Self {
        let mut part = |part: &str| tensors.add(&format!("{name}.{part}"), &[width]);
        Self { weight: part("weight"), bias: part("bias"), epsilon }
    }

    /// `[…, width]`, normalized.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let shape = self.weight.size();
        x.layer_norm(&shape, Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}
