//! CLIP's image tower.

use super::names::{Tower, read_tower};
use super::transformer::{EPSILON, Transformer};
use super::{ClipTransformerConfig, recognize};
use crate::blocks::{Conv, Geometry, LayerNorm, Sight};
use crate::tensors::Tensors;
use crate::{ClipActivation, Error, Result};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Tensor};

/// What makes a [`ClipImage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipImageConfig {
    /// Side of the images.
    pub image_size: i64,
    /// Side of the patches that become tokens.
    pub patch: i64,
    /// Entries of an embedding.
    pub embedding: i64,
    /// Sizes of the transformer.
    pub transformer: ClipTransformerConfig,
}

impl ClipImageConfig {
    /// The image tower that a file holds, from the shapes of its tensors.
    ///
    /// # Errors
    /// - [`Error::NoTower`] without a vision transformer of CLIP;
    /// - [`Error::UnknownWidth`] if the number of heads, which no shape tells, is not known for the width;
    /// - [`Error::Weights`] if the file cannot be read.
    pub fn of_file(path: &Path, activation: ClipActivation) -> Result<Self> {
        recognize::image(path, activation)
    }
}

/// The image tower of CLIP: a vision transformer whose class token becomes an embedding.
///
/// Its tensors have the names of `OpenAI`'s and `OpenCLIP`'s state dicts, `visual.…`. Files with the names of transformers'
/// `CLIPModel` and `CLIPVisionModelWithProjection` are read as well; the text tower of a file may be missing.
///
/// # Gradient
/// Into the images; the weights are frozen.
///
/// # Source
/// Radford et al. 2021, arXiv:2103.00020; Cherti et al. 2023, arXiv:2212.07143 (`OpenCLIP`).
///
/// # Example
/// ```
/// use backbones::{ClipImage, ClipModel};
/// let mut config = ClipModel::OPENAI_VIT_B32.image;
/// config.transformer.layers = 1;
/// let tower = ClipImage::zeroed(&config, tch::Device::Cpu);
/// let x = tch::Tensor::zeros([2, 3, 224, 224], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(tower.forward(&x)?.embedding.size(), [2, 512]);
/// # Ok::<(), backbones::Error>(())
/// ```
#[derive(Debug)]
pub struct ClipImage {
    class_embedding: Tensor,
    positional_embedding: Tensor,
    proj: Tensor,
    conv1: Conv,
    ln_pre: LayerNorm,
    transformer: Transformer,
    ln_post: LayerNorm,
    config: ClipImageConfig,
    parameters: Parameters,
}

/// What [`ClipImage::forward`] finds.
#[derive(Debug)]
pub struct ClipImageFeatures {
    /// The projected class token, `[B, embedding]`, of any length: divide by it before embeddings are compared.
    pub embedding: Tensor,
    /// The outputs of the last block, `[B, 1 + patches, width]`, not normalized: class, patches.
    pub tokens: Tensor,
}

impl ClipImage {
    /// The tower with the weights of a file, whose shapes say what it is.
    ///
    /// # Errors
    /// As [`ClipImageConfig::of_file`] and [`crate::read_into`].
    pub fn open(path: &Path, activation: ClipActivation, device: Device) -> Result<Self> {
        Self::open_as(path, &ClipImageConfig::of_file(path, activation)?, device)
    }

    /// The tower of that configuration with the weights of a file.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open_as(path: &Path, config: &ClipImageConfig, device: Device) -> Result<Self> {
        let tower = Self::zeroed(config, device);
        let loaded = tower.parameters.load(read_tower(path, Tower::Image)?);
        loaded.map_err(|source| Error::Mismatch { path: path.into(), source })?;
        Ok(tower)
    }

    /// The tower with weights of zero.
    ///
    /// # Panics
    /// If `patch` is not positive, or `heads` is no divisor of `width`.
    pub fn zeroed(config: &ClipImageConfig, device: Device) -> Self {
        let ClipImageConfig { image_size, patch, embedding, transformer } = *config;
        assert!(patch > 0, "`patch` is {patch}; it must be positive");
        let (width, side) = (transformer.width, image_size / patch);
        let mut tensors = Tensors::new(device);
        let t = &mut tensors;
        let geometry = Geometry::valid(patch, patch);
        Self {
            class_embedding: t.add("visual.class_embedding", &[width]),
            positional_embedding: t.add("visual.positional_embedding", &[1 + side * side, width]),
            proj: t.add("visual.proj", &[width, embedding]),
            conv1: Conv::without_bias(t, "visual.conv1", [3, width], geometry),
            ln_pre: LayerNorm::new(t, "visual.ln_pre", width, EPSILON),
            transformer: Transformer::new(t, "visual.transformer", transformer, Sight::All),
            ln_post: LayerNorm::new(t, "visual.ln_post", width, EPSILON),
            config: *config,
            parameters: tensors.finish(),
        }
    }

    /// What it is made of.
    pub fn config(&self) -> &ClipImageConfig {
        &self.config
    }

    /// The named tensors, in the order of `OpenCLIP`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `x`: `[B, 3, S, S]` of the tower's size, scaled by [`metrics::Scaling::CLIP`].
    ///
    /// # Errors
    /// [`Error::ImageSize`] for images of another shape.
    pub fn forward(&self, x: &Tensor) -> Result<ClipImageFeatures> {
        let (shape, side) = (x.size(), self.config.image_size);
        if shape.len() != 4 || shape[1..] != [3, side, side] {
            return Err(Error::ImageSize { shape, side });
        }
        let tokens = self.transformer.forward(self.ln_pre.forward(&self.tokens(x)));
        let class = self.ln_post.forward(&tokens.select(1, 0));
        Ok(ClipImageFeatures { embedding: class.matmul(&self.proj), tokens })
    }

    fn tokens(&self, x: &Tensor) -> Tensor {
        let patches = self.conv1.forward(x).flatten(2, 3).transpose(1, 2);
        let class = self.class_embedding.view([1, 1, -1]).expand([x.size()[0], -1, -1], false);
        Tensor::cat(&[class, patches], 1) + &self.positional_embedding
    }
}
