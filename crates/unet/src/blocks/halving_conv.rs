//! A convolution that halves the resolution.

use crate::builder::{Builder, Init};
use tch::Tensor;

/// A 3 × 3 convolution with bias, stride 2 and padding 1.
#[derive(Debug)]
pub(crate) struct HalvingConv {
    weight: Tensor,
    bias: Tensor,
}

impl HalvingConv {
    /// `channels`: `[in, out]`.
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, [from, to]: [i64; 2]) -> Self {
        let weight = builder.weight(&format!("{name}.weight"), &[to, from, 3, 3], Init::FanIn);
        let bias = builder.bias(&format!("{name}.bias"), to, 9 * from, Init::FanIn);
        Self { weight, bias }
    }

    /// `[B, in, H, W]` to `[B, out, H / 2, W / 2]`, rounded up.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_padded(x, [1, 1])
    }

    /// The same with another `padding`.
    pub(crate) fn forward_padded(&self, x: &Tensor, padding: [i64; 2]) -> Tensor {
        x.conv2d(&self.weight, Some(&self.bias), [2, 2], padding, [1, 1], 1)
    }
}
