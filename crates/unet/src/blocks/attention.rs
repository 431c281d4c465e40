//! Self-attention over the pixels of an image.

use super::{BlockStyle, Conv2d, GroupNorm, Pass, QkvOrder, Resample, attend};
use crate::builder::Builder;
use diffusion_core::{AttentionKind, AttentionSite};
use std::sync::Arc;
use tch::Tensor;

/// Self-attention with a residual connection.
///
/// ```text
/// out = (x + proj(attention(qkv(norm2(x))))) · skip_scale
/// ```
#[derive(Debug)]
pub(crate) struct Attention {
    norm: GroupNorm,
    qkv: Conv2d,
    proj: Conv2d,
    skip_scale: f64,
    site: Arc<AttentionSite>,
}

impl Attention {
    /// The layers `norm2`, `qkv` and `proj` of the block `name`, with the style's number of heads.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: i64,
        style: &BlockStyle,
    ) -> Self {
        let norm = style.norm(builder, &format!("{name}.norm2"), channels);
        let mut pointwise = |part, to, init| {
            let name = format!("{name}.{part}");
            Conv2d::new(builder, &name, [channels, to], 1, Resample::Keep, init)
        };
        let qkv = pointwise("qkv", 3 * channels, style.attention);
        let proj = pointwise("proj", channels, style.silent);
        let heads = style.heads(channels);
        let site = builder.attention_site(name, AttentionKind::SelfAttention, heads);
        Self { norm, qkv, proj, skip_scale: style.skip_scale, site }
    }

    /// `[B, channels, H, W]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Tensor {
        let [b, c, h, w] = x.size()[..] else { panic!("`x` must have four axes") };
        let qkv = self.qkv.forward(&self.norm.forward(x));
        let parts = QkvOrder::HeadChannelPart.split(&qkv, self.site.heads);
        let attended = attend(&parts, &self.site, [h, w], pass);
        let attended = attended.transpose(1, 2).reshape([b, h, w, c]).permute([0, 3, 1, 2]);
        self.proj.forward_into(&attended, |conv| conv.residual(x).scale(self.skip_scale))
    }
}
