//! Self-attention over the pixels of an image.

use super::unet_block::edm_norm;
use super::{Conv2d, GroupNorm, Pass, QkvOrder, Resample, attend};
use crate::builder::{Builder, Init};
use diffusion_core::{AttentionKind, AttentionSite};
use std::f64::consts::FRAC_1_SQRT_2;
use std::sync::Arc;
use tch::Tensor;

/// Self-attention with a residual connection, the sum scaled by √½.
#[derive(Debug)]
pub(crate) struct Attention {
    norm: GroupNorm,
    qkv: Conv2d,
    proj: Conv2d,
    site: Arc<AttentionSite>,
}

impl Attention {
    /// The layers `norm2`, `qkv` and `proj` of the block `name`.
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, channels: i64, heads: i64) -> Self {
        let norm = edm_norm(builder, &format!("{name}.norm2"), channels);
        let pointwise = |builder: &mut Builder<'_>, part, to, gain| {
            let (name, init) = (format!("{name}.{part}"), Init::Glorot(gain));
            Conv2d::new(builder, &name, [channels, to], 1, Resample::Keep, init)
        };
        let qkv = pointwise(builder, "qkv", 3 * channels, 0.2f64.sqrt());
        let proj = pointwise(builder, "proj", channels, 1e-5);
        let site = builder.attention_site(name, AttentionKind::SelfAttention, heads);
        Self { norm, qkv, proj, site }
    }

    /// `[B, channels, H, W]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Tensor {
        let [b, c, h, w] = x.size()[..] else { panic!("`x` must have four axes") };
        let qkv = self.qkv.forward(&self.norm.forward(x));
        let parts = QkvOrder::HeadChannelPart.split(&qkv, self.site.heads);
        let attended = attend(&parts, &self.site, [h, w], pass);
        let attended = attended.transpose(1, 2).reshape([b, h, w, c]).permute([0, 3, 1, 2]);
        self.proj.forward_into(&attended, |conv| conv.residual(x).scale(FRAC_1_SQRT_2))
    }
}
