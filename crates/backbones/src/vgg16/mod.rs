//! VGG16, with and without batch normalization.

mod stages;
mod style_gan;

pub use stages::Pooling;
pub(crate) use stages::Stages;

use crate::blocks::Linear;
use crate::tensors::Tensors;
use crate::{Result, WeightFile, weight_file};
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

    /// StyleGAN's weights of the plain form, a TorchScript module; `stylegan3` loads a pickle with the same names,
    /// `vgg16.pkl`.
    ///
    /// The notice beside the file derives them from the network of Oxford's Visual Geometry Group, while torchvision
    /// trained its own. Whether the numbers are the same is not published; treat the two as different networks. Both take
    /// images scaled by the statistics of ImageNet.
    pub const STYLE_GAN: WeightFile = WeightFile {
        name: "vgg16.pt",
        url: "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/vgg16.pt",
        sha256: "b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3",
        license: "CC-BY-4.0 (the original network); BSD-2-Clause (heads of LPIPS, not read)",
    };

    /// The network with the weights of a file: of the plain form [`Vgg16::TORCHVISION`] or [`Vgg16::STYLE_GAN`], told apart
    /// by their names, in any format.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, variant: Vgg16Variant, device: Device) -> Result<Self> {
        let network = Self::zeroed(variant, device);
        let tensors = weight_file::read(path, "", |name| Some(name.to_owned()))?;
        weight_file::load(path, &network.parameters, style_gan::renamed(tensors))?;
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
