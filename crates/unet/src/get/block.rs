//! A transformer block with additive attention injection.

use super::config::GetConfig;
use crate::blocks::{LayerNorm, Linear, Pass, attend};
use crate::builder::{Builder, Init};
use diffusion_core::{AttentionKind, AttentionSite};
use std::sync::Arc;
use tch::Tensor;

const INIT: Init = Init::Glorot(1.0);
const EPSILON: f64 = 1e-6;

/// Attention, then a perceptron, each behind a normalization and beside a residual connection.
///
/// ```text
/// qkv = qkv(norm1(x)) + injection
/// x   = x + proj(attention(qkv))
/// x   = x + fc2(gelu(fc1(norm2(x))))
/// ```
#[derive(Debug)]
pub(super) struct GetBlock {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    site: Arc<AttentionSite>,
    grid: [i64; 2],
}

impl GetBlock {
    pub(super) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        config: &GetConfig,
        mlp_ratio: f64,
    ) -> Self {
        let width = config.hidden_size;
        let inner = (width as f64 * mlp_ratio) as i64;
        let part = |part: &str| format!("{name}.{part}");
        let heads = config.num_heads;
        Self {
            norm1: LayerNorm::new(builder, &part("norm1"), width, EPSILON),
            qkv: Linear::new(builder, &part("attn.qkv"), [width, 3 * width], INIT),
            proj: Linear::new(builder, &part("attn.proj"), [width, width], INIT),
            norm2: LayerNorm::new(builder, &part("norm2"), width, EPSILON),
            fc1: Linear::new(builder, &part("mlp.fc1"), [width, inner], INIT),
            fc2: Linear::new(builder, &part("mlp.fc2"), [inner, width], INIT),
            site: builder.attention_site(&part("attn"), AttentionKind::SelfAttention, heads),
            grid: [config.patches(); 2],
        }
    }

    /// `x`: `[B, tokens, width]`; every injection: `[B, tokens or 1, 3 width]`. Returns the shape of `x`.
    pub(super) fn forward(&self, x: &Tensor, injections: &[&Tensor]) -> Tensor {
        let qkv = self.qkv.forward(&self.norm1.forward(x));
        let qkv = injections.iter().fold(qkv, |qkv, injection| qkv + *injection);
        let x = x + self.proj.forward(&self.attention(&qkv));
        let inner = self.fc1.forward(&self.norm2.forward(&x)).gelu("none");
        &x + self.fc2.forward(&inner)
    }

    /// `[B, tokens, 3 width]`, which runs over (query | key | value, head, channel), to `[B, tokens, width]`.
    fn attention(&self, qkv: &Tensor) -> Tensor {
        let [b, tokens, three_width] = qkv.size()[..] else { panic!("`qkv` must have three axes") };
        let parts = qkv.reshape([b, tokens, 3, self.site.heads, -1]).permute([2, 0, 3, 1, 4]);
        let parts: [Tensor; 3] =
            parts.contiguous().unbind(0).try_into().expect("the axis has three entries");
        let attended = attend(&parts, &self.site, self.grid, &mut Pass::new(None));
        attended.transpose(1, 2).reshape([b, tokens, three_width / 3])
    }
}
