//! The convolutions of VGG16.

use super::Vgg16Variant;
use crate::blocks::{Conv, ConvNorm, Geometry};
use crate::tensors::Tensors;
use tch::Tensor;

/// Channels of the convolutions between two poolings.
const CHANNELS: [&[i64]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];

/// How a stage becomes half as large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooling {
    /// The largest of four pixels: the published network.
    #[default]
    Max,
    /// Their mean: the LPIPS that consistency models train with.
    Mean,
}

impl Pooling {
    pub(super) fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Max => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            Self::Mean => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
        }
    }
}

/// Five stages of convolutions with a pooling between them.
#[derive(Debug)]
pub(crate) struct Stages {
    stages: Vec<Vec<Layer>>,
    pooling: Pooling,
}

#[derive(Debug)]
enum Layer {
    Plain(Conv),
    Normalized(ConvNorm),
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = match self {
            Self::Plain(conv) => conv.forward(x),
            Self::Normalized(conv) => conv.forward(x),
        };
        h.relu_()
    }
}

impl Stages {
    /// `name` of the layer at an index of torchvision's list, in which activations and poolings count.
    pub(crate) fn new(
        tensors: &mut Tensors,
        variant: Vgg16Variant,
        pooling: Pooling,
        name: impl Fn(usize) -> String,
    ) -> Self {
        let (mut from, mut index) = (3, 0);
        let mut stages = Vec::new();
        for channels in CHANNELS {
            let mut layers = Vec::new();
            for &to in channels {
                let conv = Conv::new(tensors, &name(index), [from, to], Geometry::same(3));
                layers.push(match variant {
                    Vgg16Variant::Plain => Layer::Plain(conv),
                    Vgg16Variant::BatchNorm => {
                        index += 1;
                        Layer::Normalized(ConvNorm::behind(conv, tensors, &name(index), to, 1e-5))
                    }
                });
                from = to;
                index += 2; // the activation
            }
            stages.push(layers);
            index += 1; // the pooling
        }
        Self { stages, pooling }
    }

    /// The activations at the end of each stage, before its pooling.
    pub(crate) fn forward(&self, x: &Tensor) -> [Tensor; 5] {
        let mut h = x.shallow_clone();
        let mut outputs = Vec::with_capacity(5);
        for (number, layers) in self.stages.iter().enumerate() {
            if number > 0 {
                h = self.pooling.apply(&h);
            }
            h = layers.iter().fold(h, |h, layer| layer.forward(&h));
            outputs.push(h.shallow_clone());
        }
        outputs.try_into().expect("five stages")
    }
}
