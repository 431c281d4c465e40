//! A convolution that may resample first.

use super::Resample;
use crate::builder::Builder;
use tch::Tensor;

/// A square convolution with bias that keeps the resolution, after an optional halving or doubling.
#[derive(Debug)]
pub(crate) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    resample: Resample,
}

impl Conv2d {
    /// `channels`: `[in, out]`. `kernel`: odd. `gain` scales the initial weight; the bias starts at zero.
    pub(crate) fn new(
        builder: &mut Builder,
        name: &str,
        [from, to]: [i64; 2],
        kernel: i64,
        resample: Resample,
        gain: f64,
    ) -> Self {
        let weight = builder.weight(&format!("{name}.weight"), &[to, from, kernel, kernel], gain);
        let bias = builder.constant(&format!("{name}.bias"), to, 0.0);
        if resample != Resample::Keep {
            builder.buffer(&format!("{name}.resample_filter"), Resample::filter(&[1.0, 1.0]));
        }
        Self { weight, bias, resample }
    }

    /// `[B, in, H, W]` to `[B, out, H', W']`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let padding = [self.weight.size()[2] / 2; 2];
        let x = self.resample.apply(x);
        x.conv2d(&self.weight, Some(&self.bias), [1, 1], padding, [1, 1], 1)
    }
}
