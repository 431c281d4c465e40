//! DINOv2.

use super::block::Block;
use super::tokens::{PatchEmbedding, resampled_positions};
use crate::blocks::LayerNorm;
use crate::tensors::Tensors;
use crate::{Result, WeightFile};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Tensor};

/// Name and address of a published file.
macro_rules! published {
    ($model:literal, $registers:literal) => {{
        const NAME: &str = concat!($model, $registers, "_pretrain.pth");
        (
            NAME,
            concat!(
                "https://dl.fbaipublicfiles.com/dinov2/",
                $model,
                "/",
                $model,
                $registers,
                "_pretrain.pth"
            ),
        )
    }};
}

/// Pixels of a patch's side.
const PATCH: i64 = 14;

/// The published sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DinoV2Size {
    /// ViT-S/14: 384 channels.
    Small,
    /// ViT-B/14: 768 channels.
    Base,
    /// ViT-L/14: 1024 channels, that of FD-DINOv2.
    Large,
}

impl DinoV2Size {
    /// Width, blocks, heads.
    fn numbers(self) -> (i64, i64, i64) {
        match self {
            Self::Small => (384, 12, 6),
            Self::Base => (768, 12, 12),
            Self::Large => (1024, 24, 16),
        }
    }

    /// The published weights, without or with the four register tokens.
    pub fn weight_file(self, registers: bool) -> WeightFile {
        let (name, url) = match (self, registers) {
            (Self::Small, false) => published!("dinov2_vits14", ""),
            (Self::Base, false) => published!("dinov2_vitb14", ""),
            (Self::Large, false) => published!("dinov2_vitl14", ""),
            (Self::Small, true) => published!("dinov2_vits14", "_reg4"),
            (Self::Base, true) => published!("dinov2_vitb14", "_reg4"),
            (Self::Large, true) => published!("dinov2_vitl14", "_reg4"),
        };
        WeightFile { name, url, sha256: "", license: "Apache-2.0" }
    }
}

/// A vision transformer trained without labels.
///
/// # Gradient
/// Into the images; the weights are frozen.
///
/// # Source
/// Oquab et al. 2024, arXiv:2304.07193; Darcet et al. 2024, arXiv:2309.16588 (registers); official
/// `dinov2/models/vision_transformer.py`.
///
/// # Example
/// ```
/// use backbones::{DinoV2, DinoV2Config};
/// let config = DinoV2Config { img_size: 28, ..DinoV2Config::default() };
/// let network = DinoV2::zeroed(&config, tch::Device::Cpu);
/// let x = tch::Tensor::zeros([1, 3, 28, 28], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(network.forward(&x, &[2]).class.size(), [1, 384]);
/// ```
#[derive(Debug)]
pub struct DinoV2 {
    cls_token: Tensor,
    pos_embed: Tensor,
    registers: Option<Tensor>,
    patches: PatchEmbedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    parameters: Parameters,
}

/// What makes a [`DinoV2`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DinoV2Config {
    /// Width and depth.
    pub size: DinoV2Size,
    /// Whether four register tokens follow the class token.
    pub registers: bool,
    /// Side of the images that the table of positions was made for; 518 in published files.
    pub img_size: i64,
}

impl Default for DinoV2Config {
    fn default() -> Self {
        Self { size: DinoV2Size::Small, registers: false, img_size: 518 }
    }
}

/// What [`DinoV2::forward`] finds.
#[derive(Debug)]
pub struct DinoV2Features {
    /// The class token after the last normalization, `[B, width]`: the features of FD-DINOv2.
    pub class: Tensor,
    /// The patches after the last normalization, `[B, patches, width]`, without registers.
    pub patches: Tensor,
    /// The outputs of the blocks asked for, before the last normalization, `[B, tokens, width]`: class, registers,
    /// patches.
    pub blocks: Vec<Tensor>,
}

impl DinoV2 {
    /// The network with the weights of a file.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, config: &DinoV2Config, device: Device) -> Result<Self> {
        let network = Self::zeroed(config, device);
        crate::read_into(path, &network.parameters, "")?;
        Ok(network)
    }

    /// The network with weights of zero.
    pub fn zeroed(config: &DinoV2Config, device: Device) -> Self {
        let (width, depth, heads) = config.size.numbers();
        let side = config.img_size / PATCH;
        let mut tensors = Tensors::new(device);
        let t = &mut tensors;
        let cls_token = t.add("cls_token", &[1, 1, width]);
        let pos_embed = t.add("pos_embed", &[1, 1 + side * side, width]);
        let registers = config.registers.then(|| t.add("register_tokens", &[1, 4, width]));
        let _training_only = t.add("mask_token", &[1, width]);
        let patches = PatchEmbedding::new(t, width, PATCH);
        let block = |i| Block::new(t, &format!("blocks.{i}"), width, heads, true);
        let blocks = (0..depth).map(block).collect();
        let norm = LayerNorm::new(t, "norm", width, 1e-6);
        let parameters = tensors.finish();
        Self { cls_token, pos_embed, registers, patches, blocks, norm, parameters }
    }

    /// The named tensors, in the official order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `x`: `[B, 3, H, W]`, multiples of 14, scaled by ImageNet's mean and deviation. `blocks`: whose outputs are
    /// wanted, counted from 0.
    ///
    /// # Panics
    /// If a side is no multiple of 14.
    pub fn forward(&self, x: &Tensor, blocks: &[usize]) -> DinoV2Features {
        let mut h = self.tokens(x);
        let mut wanted = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            h = block.forward(&h);
            if blocks.contains(&number) {
                wanted.push(h.shallow_clone());
            }
        }
        let normalized = self.norm.forward(&h);
        let special = 1 + self.registers.as_ref().map_or(0, |registers| registers.size()[1]);
        let patches = normalized.narrow(1, special, normalized.size()[1] - special);
        DinoV2Features { class: normalized.select(1, 0), patches, blocks: wanted }
    }

    /// The table of positions for images of the size of `x`, `[1, 1 + patches, width]`.
    pub fn positions(&self, x: &Tensor) -> Tensor {
        resampled_positions(&self.pos_embed, self.patches.grid(x))
    }

    fn tokens(&self, x: &Tensor) -> Tensor {
        let images = x.size()[0];
        let repeated = |token: &Tensor| token.expand([images, -1, -1], false);
        let patches = self.patches.forward(x);
        let tokens = Tensor::cat(&[repeated(&self.cls_token), patches], 1) + self.positions(x);
        let Some(registers) = &self.registers else { return tokens };
        let (class, patches) = (tokens.narrow(1, 0, 1), tokens.narrow(1, 1, tokens.size()[1] - 1));
        Tensor::cat(&[class, repeated(registers), patches], 1)
    }
}
