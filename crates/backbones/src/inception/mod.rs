//! Inception-v3 as the Fréchet Inception distance knows it.

mod layer;
mod mixed;
mod style_gan;

use crate::blocks::{Geometry, Linear, channels_last};
use crate::tensors::Tensors;
use crate::{Result, WeightFile, weight_file};
use diffusion_core::Parameters;
use layer::{Layer, chain};
use mixed::{Mixed, Pool};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The Inception-v3 of the original FID: the TensorFlow graph of 2015-12-05, ported to PyTorch.
///
/// Three things set it apart from other Inceptions: mean poolings do not count their padding, the last block pools the
/// largest pixel, and it tells 1008 classes apart. Resizing and scaling of images belong to a metric's recipe, not to
/// the network.
///
/// # Gradient
/// Into the images; the weights are frozen.
///
/// # Source
/// Szegedy et al. 2016, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500; official pytorch-fid,
/// `src/pytorch_fid/inception.py`, and torch-fidelity, whose files hold the same weights.
///
/// # Example
/// ```
/// let network = backbones::Inception::zeroed(tch::Device::Cpu);
/// let x = tch::Tensor::zeros([1, 3, 80, 80], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(network.features(&x).size(), [1, 2048]);
/// ```
#[derive(Debug)]
pub struct Inception {
    stem: [Vec<Layer>; 2],
    mixed: Vec<Mixed>,
    fc: Linear,
    parameters: Parameters,
}

/// What [`Inception::blocks`] shows.
#[derive(Debug)]
pub struct InceptionBlocks {
    /// After the first max-pool: `[B, 64, H, W]`.
    pub stem: Tensor,
    /// After the second max-pool: `[B, 192, H, W]`.
    pub second: Tensor,
    /// Before the auxiliary head: `[B, 768, H, W]`.
    pub middle: Tensor,
    /// Means over the last block, `[B, 2048]`: the features of the FID.
    pub pool: Tensor,
}

impl Inception {
    /// The weights that pytorch-fid and torch-fidelity share.
    pub const PYTORCH_FID: WeightFile = WeightFile {
        name: "pt_inception-2015-12-05-6726825d.pth",
        url: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256: "6726825d",
        license: "Apache-2.0",
    };

    /// The same weights as StyleGAN2-ADA and clean-fid load them, a TorchScript module. `stylegan3` and EDM load them from
    /// a pickle with the same names, `inception-2015-12-05.pkl`.
    pub const STYLE_GAN: WeightFile = WeightFile {
        name: "inception-2015-12-05.pt",
        url: "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
        sha256: "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        license: "Apache-2.0 (the original network)",
    };

    /// The network with the weights of a file: [`Inception::PYTORCH_FID`] or [`Inception::STYLE_GAN`], told apart by their
    /// names, in any format.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, device: Device) -> Result<Self> {
        let network = Self::zeroed(device);
        let tensors = weight_file::read(path, "", |name| Some(name.to_owned()))?;
        weight_file::load(path, &network.parameters, style_gan::renamed(tensors))?;
        Ok(network)
    }

    /// The network with weights of zero.
    pub fn zeroed(device: Device) -> Self {
        let mut tensors = Tensors::new(device);
        let t = &mut tensors;
        let valid = Geometry::valid;
        let first = vec![
            Layer::new(t, "Conv2d_1a_3x3", [3, 32], valid(3, 2)),
            Layer::new(t, "Conv2d_2a_3x3", [32, 32], valid(3, 1)),
            Layer::new(t, "Conv2d_2b_3x3", [32, 64], Geometry::same(3)),
        ];
        let second = vec![
            Layer::new(t, "Conv2d_3b_1x1", [64, 80], valid(1, 1)),
            Layer::new(t, "Conv2d_4a_3x3", [80, 192], valid(3, 1)),
        ];
        let mixed = vec![
            Mixed::fine(t, "Mixed_5b", 192, 32),
            Mixed::fine(t, "Mixed_5c", 256, 64),
            Mixed::fine(t, "Mixed_5d", 288, 64),
            Mixed::fine_to_middle(t, "Mixed_6a"),
            Mixed::middle(t, "Mixed_6b", 128),
            Mixed::middle(t, "Mixed_6c", 160),
            Mixed::middle(t, "Mixed_6d", 160),
            Mixed::middle(t, "Mixed_6e", 192),
            Mixed::middle_to_coarse(t, "Mixed_7a"),
            Mixed::coarse(t, "Mixed_7b", 1280, Pool::Mean),
            Mixed::coarse(t, "Mixed_7c", 2048, Pool::Largest),
        ];
        let fc = Linear::new(t, "fc", [2048, 1008]);
        Self { stem: [first, second], mixed, fc, parameters: tensors.finish() }
    }

    /// The named tensors, in the order of the published file.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The 2048 features of the FID. `x`: `[B, 3, H, W]`, about `[-1, 1]`, 299 × 299 in every recipe and at least
    /// 75 × 75; returns `[B, 2048]`.
    pub fn features(&self, x: &Tensor) -> Tensor {
        self.blocks(x).pool
    }

    /// The features and what lies before them.
    pub fn blocks(&self, x: &Tensor) -> InceptionBlocks {
        let halve = |x: &Tensor| x.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false);
        let stem = halve(&chain(&self.stem[0], &channels_last(x)));
        let second = halve(&chain(&self.stem[1], &stem));
        let through = |from: &Tensor, blocks: &[Mixed]| {
            blocks.iter().fold(from.shallow_clone(), |h, block| block.forward(&h))
        };
        let (to_middle, to_end) = self.mixed.split_at(8);
        let middle = through(&second, to_middle);
        let last = through(&middle, to_end);
        let pool = last.mean_dim([2, 3].as_slice(), false, Kind::Float);
        InceptionBlocks { stem, second, middle, pool }
    }

    /// The scores of 1008 classes from [`Inception::features`]: `[B, 2048]` to `[B, 1008]`.
    pub fn logits(&self, features: &Tensor) -> Tensor {
        self.fc.forward(features)
    }

    /// The scores without the output's bias, as the Inception Score takes them.
    pub fn logits_without_bias(&self, features: &Tensor) -> Tensor {
        self.fc.forward_without_bias(features)
    }
}
