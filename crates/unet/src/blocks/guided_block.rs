//! The residual block of guided-diffusion.

use super::{Block, Conv2d, GroupNorm, Linear, Pass, Resample};
use crate::builder::{Builder, Init};
use tch::Tensor;

/// The normalization groups of every layer of guided-diffusion.
pub(crate) const GUIDED_GROUPS: i64 = 32;

/// What distinguishes one block of a network from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuidedBlockShape {
    /// Channels of the input, those of a concatenated skip included.
    pub(crate) in_channels: i64,
    /// Channels of the output.
    pub(crate) out_channels: i64,
    /// What the block does to the resolution.
    pub(crate) resample: Resample,
}

/// What the blocks of a network have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GuidedBlockStyle {
    /// Width of the embeddings.
    pub(crate) emb_channels: i64,
    /// Probability of zeroing an activation in training.
    pub(crate) dropout: f64,
    /// How the embeddings act.
    pub(crate) modulation: Modulation,
}

/// How embeddings act on a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modulation {
    /// The embedding is added before the second normalization.
    Add,
    /// It scales and shifts the second normalization.
    ScaleShift,
    /// As `ScaleShift`, and then a second embedding does so again: SFERD's gradient branch.
    DoubleScaleShift,
}

/// Two convolutions, the second normalization modulated by the embedding, and a residual connection.
///
/// ```text
/// h   = conv(resample(silu(norm(x))))
/// h   = norm(h) · (1 + scale) + shift                 with (scale | shift) = linear(emb)
/// h   = h · (1 + scale_z) + shift_z                   doubled only, with (scale_z | shift_z) = linear(z)
/// out = conv(dropout(silu(h))) + skip(resample(x))
/// ```
///
/// Without scale and shift, `h = norm(h + linear(emb))`. Embeddings arrive after their SiLU, which all blocks share.
///
/// # Source
/// Dhariwal & Nichol 2021, arXiv:2105.05233; official `ResBlock` in `guided_diffusion/unet.py`. Doubled: Zhou et al. 2024,
/// arXiv:2311.03830.
#[derive(Debug)]
pub(crate) struct GuidedBlock {
    norm0: GroupNorm,
    conv0: Conv2d,
    emb: Linear,
    emb_z: Option<Linear>,
    norm1: GroupNorm,
    conv1: Conv2d,
    skip: Option<Conv2d>,
    resample: Resample,
    style: GuidedBlockStyle,
}

impl GuidedBlock {
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        shape: GuidedBlockShape,
        style: GuidedBlockStyle,
    ) -> Self {
        let GuidedBlockShape { in_channels, out_channels, resample } = shape;
        let part = |part: &str| format!("{name}.{part}");
        let conv = |builder: &mut Builder<'_>, name: &str, from, kernel, init| {
            Conv2d::new(builder, name, [from, out_channels], kernel, Resample::Keep, init)
        };
        let emb_width =
            if style.modulation == Modulation::Add { out_channels } else { 2 * out_channels };
        let emb = |builder: &mut Builder<'_>, name: &str| {
            Linear::new(builder, name, [style.emb_channels, emb_width], Init::FanIn)
        };
        Self {
            norm0: guided_norm(builder, &part("in_layers.0"), in_channels),
            conv0: conv(builder, &part("in_layers.2"), in_channels, 3, Init::FanIn),
            emb: emb(builder, &part("emb_layers.1")),
            emb_z: (style.modulation == Modulation::DoubleScaleShift)
                .then(|| emb(builder, &part("emb_z_layers.1"))),
            norm1: guided_norm(builder, &part("out_layers.0"), out_channels),
            conv1: conv(builder, &part("out_layers.3"), out_channels, 3, Init::Zero),
            skip: (in_channels != out_channels)
                .then(|| conv(builder, &part("skip_connection"), in_channels, 1, Init::FanIn)),
            resample,
            style,
        }
    }

    /// Scale and shift of the second normalization, each `[B, out]`. Two of them in a row make one:
    /// `1 + scale = (1 + scale_t)(1 + scale_z)`, `shift = shift_t (1 + scale_z) + shift_z`.
    fn scale_shift(&self, emb: &Tensor, z: Option<&Tensor>) -> [Tensor; 2] {
        let halves = |both: Tensor| <[Tensor; 2]>::try_from(both.chunk(2, 1)).expect("two halves");
        let [scale, shift] = halves(self.emb.forward(emb));
        let Some(emb_z) = &self.emb_z else { return [scale, shift] };
        let z = z.expect("a doubled block takes two embeddings");
        let [scale_z, shift_z] = halves(emb_z.forward(z));
        let factor = &scale_z + 1.0;
        [&scale * &factor + scale_z, shift_z.addcmul(&shift, &factor)]
    }
}

impl Block for GuidedBlock {
    /// Inputs: `x`, `[B, in, H, W]`, and `silu(emb)`, `[B, emb_channels]`; doubled, `silu(z)` of the same shape, too.
    /// Returns `[B, out, H', W']`.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let [x, emb, z @ ..] = inputs else { panic!("a residual block takes image and embedding") };
        let h = self.resample.apply(&self.norm0.forward_silu(x));
        let h = if self.style.modulation == Modulation::Add {
            let shift = self.emb.forward(emb);
            self.norm1.forward_silu(&self.conv0.forward_into(&h, |conv| conv.shift(&shift)))
        } else {
            let [scale, shift] = self.scale_shift(emb, z.first());
            self.norm1.forward_modulated(&self.conv0.forward(&h), &scale, &shift).silu()
        };
        let h = pass.dropout(h, self.style.dropout);
        let x = self.resample.apply(x);
        let skip = self.skip.as_ref().map_or_else(|| x.shallow_clone(), |skip| skip.forward(&x));
        self.conv1.forward_into(&h, |conv| conv.residual(&skip))
    }

    fn convolutions(&self) -> Vec<&Conv2d> {
        [&self.conv0, &self.conv1].into_iter().chain(&self.skip).collect()
    }
}

/// The normalization of guided-diffusion.
pub(crate) fn guided_norm(builder: &mut Builder<'_>, name: &str, channels: i64) -> GroupNorm {
    GroupNorm::new(builder, name, channels, GUIDED_GROUPS, 1e-5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Device;

    #[test]
    fn two_modulations_in_a_row_are_one() {
        let mut noise = Noise::new(1);
        let mut builder = Builder::drawn(&mut noise, Device::Cpu);
        let shape =
            GuidedBlockShape { in_channels: 32, out_channels: 32, resample: Resample::Keep };
        let modulation = Modulation::DoubleScaleShift;
        let style = GuidedBlockStyle { emb_channels: 8, dropout: 0.0, modulation };
        let block = GuidedBlock::new(&mut builder, "block", shape, style);
        let [h, emb, z] = [[2, 32, 1, 1].as_slice(), &[2, 8], &[2, 8]]
            .map(|shape| Noise::new(shape.len() as u64).normal(shape));
        let by_hand = |h: Tensor, values: Tensor| {
            let [scale, shift] =
                [0, 32].map(|start| values.narrow(1, start, 32).unsqueeze(-1).unsqueeze(-1));
            h * (scale + 1.0) + shift
        };
        let expected = by_hand(block.norm1.forward(&h), block.emb.forward(&emb));
        let expected = by_hand(expected, block.emb_z.as_ref().unwrap().forward(&z));
        let [scale, shift] = block.scale_shift(&emb, Some(&z));
        let found = block.norm1.forward_modulated(&h, &scale, &shift);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
