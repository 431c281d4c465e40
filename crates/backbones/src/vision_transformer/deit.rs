//! DeiT-B, distilled.

use super::block::Block;
use super::tokens::PatchEmbedding;
use crate::blocks::{LayerNorm, Linear};
use crate::tensors::Tensors;
use crate::{Result, WeightFile};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Tensor};

const WIDTH: i64 = 768;
const PATCH: i64 = 16;

/// The base-sized data-efficient vision transformer with a distillation token, whose features the projected
/// discriminators of StyleGAN-XL and GDD see.
///
/// # Gradient
/// Into the images; the weights are frozen.
///
/// # Source
/// Touvron et al. 2021, arXiv:2012.12877; timm, `deit_base_distilled_patch16_224`.
///
/// # Example
/// ```
/// let network = backbones::DeitBaseDistilled::zeroed(32, tch::Device::Cpu);
/// let x = tch::Tensor::zeros([1, 3, 32, 32], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(network.blocks(&x, &[2, 5])[1].size(), [1, 6, 768]);
/// ```
#[derive(Debug)]
pub struct DeitBaseDistilled {
    tokens: [Tensor; 2],
    pos_embed: Tensor,
    patches: PatchEmbedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    heads: [Linear; 2],
    parameters: Parameters,
}

impl DeitBaseDistilled {
    /// The published weights, for images of 224 × 224.
    pub const PUBLISHED: WeightFile = WeightFile {
        name: "deit_base_distilled_patch16_224-df68dfff.pth",
        url: "https://dl.fbaipublicfiles.com/deit/deit_base_distilled_patch16_224-df68dfff.pth",
        sha256: "df68dfff",
        license: "Apache-2.0",
    };

    /// The network with the weights of a file, which may hold them under the key `model`.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, device: Device) -> Result<Self> {
        let network = Self::zeroed(224, device);
        crate::read_into(path, &network.parameters, "model")?;
        Ok(network)
    }

    /// The network with weights of zero, for images of `img_size` × `img_size`.
    pub fn zeroed(img_size: i64, device: Device) -> Self {
        let mut tensors = Tensors::new(device);
        let t = &mut tensors;
        let side = img_size / PATCH;
        let cls_token = t.add("cls_token", &[1, 1, WIDTH]);
        let pos_embed = t.add("pos_embed", &[1, 2 + side * side, WIDTH]);
        let dist_token = t.add("dist_token", &[1, 1, WIDTH]);
        let patches = PatchEmbedding::new(t, WIDTH, PATCH);
        let blocks =
            (0..12).map(|i| Block::new(t, &format!("blocks.{i}"), WIDTH, 12, false)).collect();
        let norm = LayerNorm::new(t, "norm", WIDTH, 1e-6);
        let heads = ["head", "head_dist"].map(|name| Linear::new(t, name, [WIDTH, 1000]));
        let (tokens, parameters) = ([cls_token, dist_token], tensors.finish());
        Self { tokens, pos_embed, patches, blocks, norm, heads, parameters }
    }

    /// The named tensors, in timm's order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The outputs of the blocks `wanted`, counted from 0, in that order, `[B, 2 + patches, 768]` each, not
    /// normalized: class, distillation, patches. Blocks behind the last one wanted are not computed.
    /// `x`: `[B, 3, S, S]` of the network's size.
    ///
    /// # Panics
    /// If `x` has another size than the network was built for, or a block does not exist.
    pub fn blocks(&self, x: &Tensor, wanted: &[usize]) -> Vec<Tensor> {
        let needed = wanted.iter().max().map_or(0, |last| last + 1);
        let mut h = self.embed(x);
        let outputs: Vec<Tensor> = self.blocks[..needed]
            .iter()
            .map(|block| {
                h = block.forward(&h);
                h.shallow_clone()
            })
            .collect();
        wanted.iter().map(|&number| outputs[number].shallow_clone()).collect()
    }

    /// The scores of 1000 classes, `[B, 1000]`: the mean of the two heads.
    ///
    /// # Panics
    /// As [`DeitBaseDistilled::blocks`].
    pub fn logits(&self, x: &Tensor) -> Tensor {
        let last = self.blocks(x, &[self.blocks.len() - 1]).remove(0);
        let normalized = self.norm.forward(&last);
        let [class, distillation] = [0, 1].map(|token| normalized.select(1, token));
        (self.heads[0].forward(&class) + self.heads[1].forward(&distillation)) / 2.0
    }

    fn embed(&self, x: &Tensor) -> Tensor {
        let patches = self.patches.forward(x);
        let [found, needed] = [patches.size()[1] + 2, self.pos_embed.size()[1]];
        assert!(found == needed, "`x` gives {found} tokens; this network has {needed} positions");
        let [class, distillation] =
            self.tokens.each_ref().map(|token| token.expand([x.size()[0], -1, -1], false));
        Tensor::cat(&[class, distillation, patches], 1) + &self.pos_embed
    }
}
