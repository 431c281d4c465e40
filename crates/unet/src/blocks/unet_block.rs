//! The residual block of EDM's networks.

use super::attention::Attention;
use super::{Block, BlockStyle, Conv2d, GroupNorm, Linear, Pass, Resample, Resampler};
use crate::builder::Builder;
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

/// Two convolutions, the noise embedding between them, and a residual connection; then attention, if any.
///
/// ```text
/// h   = conv0(silu(norm0(x)))
/// h   = conv1(dropout(silu(norm1(h + affine(emb)))))                              SongUNet
/// h   = conv1(dropout(silu(norm1(h) · (1 + scale) + shift))), [scale, shift] = affine(emb)      ADM
/// out = (h + skip(x)) · skip_scale
/// ```
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, appendix C; Song et al. 2021, arXiv:2011.13456; Dhariwal & Nichol 2021,
/// arXiv:2105.05233; official `UNetBlock` in `training/networks.py`.
#[derive(Debug)]
pub(crate) struct UnetBlock {
    norm0: GroupNorm,
    conv0: Conv2d,
    affine: Linear,
    norm1: GroupNorm,
    conv1: Conv2d,
    skip: Skip,
    attention: Option<Attention>,
    modulates: bool,
    skip_scale: f64,
    dropout: f64,
}

/// The way past the convolutions.
#[derive(Debug)]
enum Skip {
    Identity,
    Resample(Resampler),
    Conv(Conv2d),
}

impl UnetBlock {
    /// A block that starts close to its skip connection: `conv1` and the attention's `proj` are silent.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        shape: BlockShape,
        style: &BlockStyle,
    ) -> Self {
        let BlockShape { in_channels, out_channels, resample, attention } = shape;
        let BlockStyle { emb_channels, usual, silent, modulates, .. } = *style;
        let (through, within) = ([in_channels, out_channels], [out_channels; 2]);
        let part = |part: &str| format!("{name}.{part}");
        let filter = (resample, &style.resample_filter[..]);
        let embedded = if modulates { 2 * out_channels } else { out_channels };
        Self {
            norm0: style.norm(builder, &part("norm0"), in_channels),
            conv0: Conv2d::filtered(builder, &part("conv0"), through, 3, filter, usual),
            affine: Linear::new(builder, &part("affine"), [emb_channels, embedded], usual),
            norm1: style.norm(builder, &part("norm1"), out_channels),
            conv1: Conv2d::new(builder, &part("conv1"), within, 3, Resample::Keep, silent),
            skip: Skip::new(builder, &part("skip"), shape, style),
            attention: (attention && style.heads(out_channels) > 0)
                .then(|| Attention::new(builder, name, out_channels, style)),
            modulates,
            skip_scale: style.skip_scale,
            dropout: style.dropout,
        }
    }

    /// What comes before the second convolution.
    fn embed(&self, x: &Tensor, emb: &Tensor) -> Tensor {
        let (h, embedded) = (self.norm0.forward_silu(x), self.affine.forward(emb));
        if self.modulates {
            let h = self.conv0.forward(&h);
            let (scale, shift) = halves(&embedded);
            self.norm1.forward_modulated(&h, &scale, &shift).silu()
        } else {
            self.norm1.forward_silu(&self.conv0.forward_into(&h, |conv| conv.shift(&embedded)))
        }
    }
}

impl Block for UnetBlock {
    /// Inputs: `x`, `[B, in, H, W]`, and `emb`, `[B, emb_channels]`; returns `[B, out, H', W']`.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let [x, emb] = inputs else { panic!("a residual block takes an image and an embedding") };
        let h = pass.dropout(self.embed(x, emb), self.dropout);
        let skip = self.skip.forward(x);
        let out = self.conv1.forward_into(&h, |conv| conv.residual(&skip).scale(self.skip_scale));
        match &self.attention {
            Some(attention) => attention.forward(&out, pass),
            None => out,
        }
    }

    fn convolutions(&self) -> Vec<&Conv2d> {
        let skip = match &self.skip {
            Skip::Conv(conv) => Some(conv),
            Skip::Identity | Skip::Resample(_) => None,
        };
        [&self.conv0, &self.conv1].into_iter().chain(skip).collect()
    }
}

impl Skip {
    fn new(builder: &mut Builder<'_>, name: &str, shape: BlockShape, style: &BlockStyle) -> Self {
        let BlockShape { in_channels, out_channels, resample, .. } = shape;
        let resamples = resample != Resample::Keep;
        if in_channels != out_channels || (resamples && style.projects_resampled) {
            let (channels, filter) =
                ([in_channels, out_channels], (resample, &style.resample_filter[..]));
            Self::Conv(Conv2d::filtered(builder, name, channels, 1, filter, style.usual))
        } else if resamples {
            Self::Resample(Resampler::new(builder, name, resample, &style.resample_filter))
        } else {
            Self::Identity
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Identity => x.shallow_clone(),
            Self::Resample(resampler) => resampler.apply(x),
            Self::Conv(conv) => conv.forward(x),
        }
    }
}

/// `[B, 2 n]` as two times `[B, n]`.
fn halves(embedded: &Tensor) -> (Tensor, Tensor) {
    let width = embedded.size()[1] / 2;
    (embedded.narrow(1, 0, width), embedded.narrow(1, width, width))
}
