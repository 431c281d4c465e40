//! Self-attention as guided-diffusion has it.

use super::{Block, Conv2d, GroupNorm, Pass, Pointwise, QkvOrder, attend, guided_norm};
use crate::builder::{Builder, Init};
use diffusion_core::{AttentionKind, AttentionSite};
use std::sync::Arc;
use tch::Tensor;

/// What distinguishes one attention layer from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuidedAttentionShape {
    /// Channels, in and out.
    pub(crate) channels: i64,
    /// Heads; a divisor of the channels.
    pub(crate) heads: i64,
    /// What the channels of `qkv` run over.
    pub(crate) order: QkvOrder,
    /// Trailing axes of the weights in the state dict.
    pub(crate) axes: usize,
}

/// Self-attention over the pixels of an image, with a residual connection.
#[derive(Debug)]
pub(crate) struct GuidedAttention {
    norm: GroupNorm,
    qkv: Pointwise,
    proj: Pointwise,
    order: QkvOrder,
    site: Arc<AttentionSite>,
}

impl GuidedAttention {
    /// The layers `norm`, `qkv` and `proj_out` of the attention layer `name`.
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, shape: GuidedAttentionShape) -> Self {
        let GuidedAttentionShape { channels, heads, order, axes } = shape;
        let pointwise = |builder: &mut Builder<'_>, part, to, init| {
            Pointwise::new(builder, &format!("{name}.{part}"), [channels, to], axes, init)
        };
        Self {
            norm: guided_norm(builder, &format!("{name}.norm"), channels),
            qkv: pointwise(builder, "qkv", 3 * channels, Init::FanIn),
            proj: pointwise(builder, "proj_out", channels, Init::Zero),
            order,
            site: builder.attention_site(name, AttentionKind::SelfAttention, heads),
        }
    }
}

impl Block for GuidedAttention {
    /// Input: `[B, channels, H, W]`; returns the same shape.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let [x] = inputs else { panic!("an attention layer takes one image") };
        let [b, c, h, w] = x.size()[..] else { panic!("`x` must have four axes") };
        let qkv = self.qkv.forward(&self.norm.forward(x), None);
        let parts = self.order.split(&qkv, self.site.heads);
        let attended = attend(&parts, &self.site, [h, w], pass);
        let attended = attended.transpose(1, 2).reshape([b, h, w, c]).permute([0, 3, 1, 2]);
        self.proj.forward(&attended, Some(x))
    }

    /// None that preparing makes faster.
    fn convolutions(&self) -> Vec<&Conv2d> {
        Vec::new()
    }
}
