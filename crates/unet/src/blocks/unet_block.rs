//! The residual block of the U-Net.

use super::attention::Attention;
use super::{Block, Conv2d, GroupNorm, Linear, Pass, Resample};
use crate::builder::{Builder, Init};
use std::f64::consts::FRAC_1_SQRT_2;
use tch::Tensor;

/// What distinguishes one block of a network from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockShape {
    /// Channels of the input, those of a concatenated skip included.
    pub(crate) in_channels: i64,
    /// Channels of the output.
    pub(crate) out_channels: i64,
    /// What the block does to the resolution.
    pub(crate) resample: Resample,
    /// Whether self-attention follows.
    pub(crate) attention: bool,
}

/// Two convolutions, the noise embedding added between them, and a residual connection; then attention, if any.
///
/// ```text
/// h   = conv0(silu(norm0(x)))
/// h   = conv1(dropout(silu(norm1(h + affine(emb)))))
/// out = (h + skip(x)) / √2
/// ```
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, appendix C; Song et al. 2021, arXiv:2011.13456; official `UNetBlock` in
/// `training/networks.py`.
#[derive(Debug)]
pub(crate) struct UnetBlock {
    norm0: GroupNorm,
    conv0: Conv2d,
    affine: Linear,
    norm1: GroupNorm,
    conv1: Conv2d,
    skip: Option<Conv2d>,
    attention: Option<Attention>,
    dropout: f64,
}

impl UnetBlock {
    /// A block that starts close to its skip connection: `conv1` and the attention's `proj` are nearly zero.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        shape: BlockShape,
        emb_channels: i64,
        dropout: f64,
    ) -> Self {
        let BlockShape { in_channels, out_channels, resample, attention } = shape;
        let (through, within) = ([in_channels, out_channels], [out_channels, out_channels]);
        let part = |part: &str| format!("{name}.{part}");
        let (usual, silent) = (Init::Glorot(1.0), Init::Glorot(1e-5));
        let needs_skip = in_channels != out_channels || resample != Resample::Keep;
        Self {
            norm0: edm_norm(builder, &part("norm0"), in_channels),
            conv0: Conv2d::new(builder, &part("conv0"), through, 3, resample, usual),
            affine: Linear::new(builder, &part("affine"), [emb_channels, out_channels], usual),
            norm1: edm_norm(builder, &part("norm1"), out_channels),
            conv1: Conv2d::new(builder, &part("conv1"), within, 3, Resample::Keep, silent),
            skip: needs_skip
                .then(|| Conv2d::new(builder, &part("skip"), through, 1, resample, usual)),
            attention: attention.then(|| Attention::new(builder, name, out_channels, 1)),
            dropout,
        }
    }
}

impl Block for UnetBlock {
    /// Inputs: `x`, `[B, in, H, W]`, and `emb`, `[B, emb_channels]`; returns `[B, out, H', W']`.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let [x, emb] = inputs else { panic!("a residual block takes an image and an embedding") };
        let shift = self.affine.forward(emb);
        let h = self.conv0.forward_into(&self.norm0.forward_silu(x), |conv| conv.shift(&shift));
        let h = pass.dropout(self.norm1.forward_silu(&h), self.dropout);
        let skip = self.skip.as_ref().map_or_else(|| x.shallow_clone(), |skip| skip.forward(x));
        let out = self.conv1.forward_into(&h, |conv| conv.residual(&skip).scale(FRAC_1_SQRT_2));
        match &self.attention {
            Some(attention) => attention.forward(&out, pass),
            None => out,
        }
    }

    fn convolutions(&self) -> Vec<&Conv2d> {
        [&self.conv0, &self.conv1].into_iter().chain(&self.skip).collect()
    }
}

/// The number of normalization groups in EDM's networks: four channels or more in each, 32 groups at most.
pub(crate) fn edm_groups(channels: i64) -> i64 {
    (channels / 4).min(32)
}

/// The normalization of SongUNet.
pub(crate) fn edm_norm(builder: &mut Builder<'_>, name: &str, channels: i64) -> GroupNorm {
    GroupNorm::new(builder, name, channels, edm_groups(channels), 1e-6)
}
