//! VGG16, with and without batch normalization.

mod stages;

pub use stages::Pooling;
pub(crate) use stages::Stages;

use crate::blocks::Linear;
use crate::tensors::Tensors;
use crate::{Result, WeightFile};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Tensor};

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
    stages: Stages,
    classifier: [Linear; 3],
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
        let name = |index| format!("features.{index}");
        let stages = Stages::new(&mut tensors, variant, Pooling::Max, name);
        let mut linear = |index: i64, features| {
            Linear::new(&mut tensors, &format!("classifier.{index}"), features)
        };
        let classifier =
            [linear(0, [512 * 49, 4096]), linear(3, [4096, 4096]), linear(6, [4096, 1000])];
        Self { stages, classifier, parameters: tensors.finish() }
    }

    /// The named tensors, in torchvision's order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The activations at the end of each stage, before its pooling: `relu1_2`, `relu2_2`, `relu3_3`, `relu4_3`,
    /// `relu5_3`. `x`: `[B, 3, H, W]`, at least 16 × 16, scaled as the caller's recipe says.
    pub fn stages(&self, x: &Tensor) -> [Tensor; 5] {
        self.stages.forward(x)
    }

    /// The 4096 features of the second fully connected layer, activated: what precision and recall compare.
    /// `x`: `[B, 3, 224, 224]`, scaled as the caller's recipe says.
    ///
    /// # Panics
    /// If `x` is not 224 × 224.
    pub fn fully_connected(&self, x: &Tensor) -> Tensor {
        let [.., last] = self.stages(x);
        let pooled = Pooling::Max.apply(&last).flatten(1, -1);
        assert!(pooled.size()[1] == 512 * 49, "`x` must be 224 × 224, not {:?}", &x.size()[2..]);
        let [first, second, _] = &self.classifier;
        second.forward(&first.forward(&pooled).relu()).relu()
    }

    /// The scores of 1000 classes, `[B, 1000]`, from [`Vgg16::fully_connected`].
    pub fn logits(&self, features: &Tensor) -> Tensor {
        self.classifier[2].forward(features)
    }
}
