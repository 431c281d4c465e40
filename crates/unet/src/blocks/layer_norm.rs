//! Layer normalization.

use crate::builder::Builder;
use tch::Tensor;

/// Normalization over the last axis, with a scale and a shift for each of its channels.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// Starts as the plain normalization: scale 1, shift 0.
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, channels: i64, epsilon: f64) -> Self {
        let weight = builder.constant(&format!("{name}.weight"), channels, 1.0);
        let bias = builder.constant(&format!("{name}.bias"), channels, 0.0);
        Self { weight, bias, epsilon }
    }

    /// `[…, channels]`, normalized.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let shape = self.weight.size();
        x.layer_norm(&shape, Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}
