//! Halving and doubling the resolution outside of residual blocks.

use crate::blocks::{Conv2d, HalvingConv, Resample};
use crate::builder::{Builder, Init};
use tch::Tensor;

/// What distinguishes one halving or doubling from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResizeShape {
    /// Channels, in and out.
    pub(crate) channels: i64,
    /// Halving or doubling.
    pub(crate) resample: Resample,
    /// Whether a learned convolution is part of it.
    pub(crate) convolves: bool,
}

/// Halving or doubling, with a learned convolution or without.
#[derive(Debug)]
pub(super) enum Resize {
    /// A 3 × 3 convolution with stride 2 and padding 1.
    Stride(HalvingConv),
    /// Every pixel four times, then a 3 × 3 convolution.
    RepeatAndConvolve(Conv2d),
    /// Means of four pixels, or every pixel four times.
    Plain(Resample),
}

impl Resize {
    /// The convolution is `name.op` or `name.conv`.
    pub(super) fn new(builder: &mut Builder<'_>, name: &str, shape: ResizeShape) -> Self {
        let ResizeShape { channels, resample, convolves } = shape;
        if !convolves {
            return Self::Plain(resample);
        }
        if resample == Resample::Up {
            let (name, through) = (format!("{name}.conv"), [channels; 2]);
            let conv = Conv2d::new(builder, &name, through, 3, Resample::Keep, Init::FanIn);
            return Self::RepeatAndConvolve(conv);
        }
        Self::Stride(HalvingConv::new(builder, &format!("{name}.op"), [channels; 2]))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Stride(conv) => conv.forward(x),
            Self::RepeatAndConvolve(conv) => conv.forward(&Resample::Up.apply(x)),
            Self::Plain(resample) => resample.apply(x),
        }
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(super) fn prepare(&self) {
        if let Self::RepeatAndConvolve(conv) = self {
            conv.prepare();
        }
    }
}
