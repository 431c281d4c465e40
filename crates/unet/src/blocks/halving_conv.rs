//! A convolution that halves the resolution.

use crate::builder::{Builder, Init};
use tch::Tensor;

/// A 3 × 3 convolution with bias, stride 2, and a frame of one pixel of zeros.
#[derive(Debug)]
pub(crate) struct HalvingConv {
    weight: Tensor,
    bias: Tensor,
    frame: Frame,
}

/// Where the zeros are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// On all sides.
    Around,
    /// Below and to the right, as DDPM has it.
    Behind,
}

impl HalvingConv {
    /// `channels`: `[in, out]`.
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, [from, to]: [i64; 2]) -> Self {
        let weight = builder.weight(&format!("{name}.weight"), &[to, from, 3, 3], Init::FanIn);
        let bias = builder.bias(&format!("{name}.bias"), to, 9 * from, Init::FanIn);
        Self { weight, bias, frame: Frame::Around }
    }

    /// The same with zeros below and to the right only.
    pub(crate) fn padded_behind(self) -> Self {
        Self { frame: Frame::Behind, ..self }
    }

    /// `[B, in, H, W]` to `[B, out, H / 2, W / 2]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let convolve = |x: &Tensor, padding| {
            x.conv2d(&self.weight, Some(&self.bias), [2, 2], [padding; 2], [1, 1], 1)
        };
        match self.frame {
            Frame::Around => convolve(x, 1),
            Frame::Behind => convolve(&x.constant_pad_nd([0, 1, 0, 1]), 0),
        }
    }
}
