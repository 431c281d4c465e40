//! VGG16, with and without batch normalization.

use crate::blocks::{Conv, ConvNorm, Geometry, Linear};
use crate::tensors::Tensors;
use crate::{Result, WeightFile};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Tensor};

/// Channels of the convolutions between two poolings.
const STAGES: [&[i64]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];

/// How a stage becomes half as large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooling {
    /// The largest of four pixels: the published network.
    #[default]
    Max,
    /// Their mean: the LPIPS that consistency models train with.
    Mean,
}

/// The 16-layer network of the Visual Geometry Group, torchvision's names.
///
/// # Gradient
/// Into the images; the weights are frozen.
///
/// # Source
/// Simonyan & Zisserman 2015, arXiv:1409.1556; torchvision, `models/vgg.py`, `vgg16` and `vgg16_bn`.
///
/// # Example
/// ```
/// let network = backbones::Vgg16::zeroed(backbones::Vgg16Variant::Plain, tch::Device::Cpu);
/// let x = tch::Tensor::zeros([1, 3, 32, 32], (tch::Kind::Float, tch::Device::Cpu));
/// let stages = network.stages(&x);
/// assert_eq!(stages[4].size(), [1, 512, 2, 2]);
/// ```
#[derive(Debug)]
pub struct Vgg16 {
    stages: Vec<Vec<Layer>>,
    classifier: Option<[Linear; 3]>,
    pooling: Pooling,
    parameters: Parameters,
}

/// The two published forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vgg16Variant {
    /// Convolutions with bias.
    Plain,
    /// Each followed by batch normalization.
    BatchNorm,
}

#[derive(Debug)]
enum Layer {
    Plain(Conv),
    Normalized(ConvNorm),
}

impl Layer {
    /// Not activated.
    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Plain(conv) => conv.forward(x),
            Self::Normalized(conv) => conv.forward(x),
        }
    }
}

impl Vgg16 {
    /// torchvision's weights of the plain form.
    pub const TORCHVISION: WeightFile = WeightFile {
        name: "vgg16-397923af.pth",
        url: "https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256: "397923af",
        license: "BSD-3-Clause (code); weights trained on ImageNet",
    };
    /// torchvision's weights of the form with batch normalization.
    pub const TORCHVISION_BN: WeightFile = WeightFile {
        name: "vgg16_bn-6c64b313.pth",
        url: "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        sha256: "6c64b313",
        license: "BSD-3-Clause (code); weights trained on ImageNet",
    };

    /// The network with the weights of a file.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, variant: Vgg16Variant, device: Device) -> Result<Self> {
        let network = Self::zeroed(variant, device);
        crate::read_into(path, &network.parameters, "")?;
        Ok(network)
    }

    /// The network with weights of zero.
    pub fn zeroed(variant: Vgg16Variant, device: Device) -> Self {
        let mut tensors = Tensors::new(device);
        let stages = Self::build(&mut tensors, variant, |index| format!("features.{index}"));
        let mut linear = |index: i64, features| {
            Linear::new(&mut tensors, &format!("classifier.{index}"), features)
        };
        let classifier =
            [linear(0, [512 * 49, 4096]), linear(3, [4096, 4096]), linear(6, [4096, 1000])];
        let (classifier, pooling) = (Some(classifier), Pooling::Max);
        Self { stages, classifier, pooling, parameters: tensors.finish() }
    }

    /// The convolutions alone, with other names for them and another pooling.
    pub(crate) fn convolutions(
        tensors: &mut Tensors,
        pooling: Pooling,
        name: impl Fn(usize) -> String,
    ) -> Self {
        let stages = Self::build(tensors, Vgg16Variant::Plain, name);
        let parameters = Parameters::new(Device::Cpu); // the caller's
        Self { stages, classifier: None, pooling, parameters }
    }

    /// `name` of the layer at an index of torchvision's list, in which activations and poolings count.
    fn build(
        tensors: &mut Tensors,
        variant: Vgg16Variant,
        name: impl Fn(usize) -> String,
    ) -> Vec<Vec<Layer>> {
        let (mut from, mut index) = (3, 0);
        let mut stages = Vec::new();
        for channels in STAGES {
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
        stages
    }

    /// The named tensors, in torchvision's order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The activations at the end of each stage, before its pooling: `relu1_2`, `relu2_2`, `relu3_3`, `relu4_3`,
    /// `relu5_3`. `x`: `[B, 3, H, W]`, at least 16 × 16, scaled as the caller's recipe says.
    pub fn stages(&self, x: &Tensor) -> [Tensor; 5] {
        let mut h = x.shallow_clone();
        let mut outputs = Vec::with_capacity(5);
        for (number, layers) in self.stages.iter().enumerate() {
            if number > 0 {
                h = self.pool(&h);
            }
            h = layers.iter().fold(h, |h, layer| layer.forward(&h).relu());
            outputs.push(h.shallow_clone());
        }
        outputs.try_into().expect("five stages")
    }

    /// The 4096 features of the second fully connected layer, activated: what precision and recall compare.
    /// `x`: `[B, 3, 224, 224]`, scaled as the caller's recipe says.
    ///
    /// # Panics
    /// If `x` is not 224 × 224.
    pub fn fully_connected(&self, x: &Tensor) -> Tensor {
        let classifier = self.classifier.as_ref().expect("only the convolutions are without");
        let [.., last] = self.stages(x);
        let pooled = self.pool(&last).flatten(1, -1);
        assert!(pooled.size()[1] == 512 * 49, "`x` must be 224 × 224, not {:?}", &x.size()[2..]);
        classifier[1].forward(&classifier[0].forward(&pooled).relu()).relu()
    }

    fn pool(&self, x: &Tensor) -> Tensor {
        match self.pooling {
            Pooling::Max => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            Pooling::Mean => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
        }
    }
}
