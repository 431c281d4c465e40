//! A convolution and the batch normalization behind it.

use super::{Conv, Geometry};
use crate::tensors::Tensors;
use tch::Tensor;

/// Batch normalization in evaluation mode: with the statistics of training.
#[derive(Debug)]
pub(crate) struct ConvNorm {
    conv: Conv,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: f64,
}

impl ConvNorm {
    /// The layers `conv` and `norm`, which are names.
    pub(crate) fn new(
        tensors: &mut Tensors,
        [conv, norm]: [&str; 2],
        channels: [i64; 2],
        geometry: Geometry,
        epsilon: f64,
    ) -> Self {
        let conv = Conv::without_bias(tensors, conv, channels, geometry);
        Self::behind(conv, tensors, norm, channels[1], epsilon)
    }

    /// A normalization behind a convolution that is there already.
    pub(crate) fn behind(
        conv: Conv,
        tensors: &mut Tensors,
        norm: &str,
        channels: i64,
        epsilon: f64,
    ) -> Self {
        let mut part = |part: &str| tensors.add(&format!("{norm}.{part}"), &[channels]);
        Self {
            conv,
            weight: part("weight"),
            bias: part("bias"),
            mean: part("running_mean"),
            variance: part("running_var"),
            epsilon,
        }
    }

    /// `[B, in, H, W]` to `[B, out, H', W']`, not activated.
    ///
    /// The normalization is folded into the convolution: the weight is small beside the images.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let scale = &self.weight / (&self.variance + self.epsilon).sqrt();
        let shift = &self.bias - &self.mean * &scale;
        self.conv.scaled(x, &scale, &shift)
    }
}
