//! One block of a vision transformer.

use crate::blocks::{LayerNorm, Linear};
use crate::tensors::Tensors;
use tch::Tensor;

/// Attention, then a perceptron, each behind a normalization and beside a residual connection.
#[derive(Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    scale1: Option<Tensor>,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    scale2: Option<Tensor>,
    heads: i64,
}

impl Block {
    /// `scaled`: whether residual branches are scaled channel by channel (`ls1.gamma`, `ls2.gamma`).
    pub(super) fn new(
        tensors: &mut Tensors,
        name: &str,
        width: i64,
        heads: i64,
        scaled: bool,
    ) -> Self {
        let part = |part: &str| format!("{name}.{part}");
        let scale =
            |tensors: &mut Tensors, part: String| scaled.then(|| tensors.add(&part, &[width]));
        Self {
            norm1: LayerNorm::new(tensors, &part("norm1"), width, 1e-6),
            qkv: Linear::new(tensors, &part("attn.qkv"), [width, 3 * width]),
            proj: Linear::new(tensors, &part("attn.proj"), [width, width]),
            scale1: scale(tensors, part("ls1.gamma")),
            norm2: LayerNorm::new(tensors, &part("norm2"), width, 1e-6),
            fc1: Linear::new(tensors, &part("mlp.fc1"), [width, 4 * width]),
            fc2: Linear::new(tensors, &part("mlp.fc2"), [4 * width, width]),
            scale2: scale(tensors, part("ls2.gamma")),
            heads,
        }
    }

    /// `[B, tokens, width]` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let scaled = |h: Tensor, scale: &Option<Tensor>| match scale {
            Some(scale) => h * scale,
            None => h,
        };
        let attended = self.proj.forward(&self.attend(&self.qkv.forward(&self.norm1.forward(x))));
        let x = x + scaled(attended, &self.scale1);
        let inner = self.fc1.forward(&self.norm2.forward(&x)).gelu("none");
        &x + scaled(self.fc2.forward(&inner), &self.scale2)
    }

    /// `[B, tokens, 3 width]`, which runs over (query | key | value, head, channel), to `[B, tokens, width]`.
    fn attend(&self, qkv: &Tensor) -> Tensor {
        let [b, tokens, three_width] = qkv.size()[..] else { panic!("`qkv` must have three axes") };
        let parts = qkv.reshape([b, tokens, 3, self.heads, -1]).permute([2, 0, 3, 1, 4]);
        let [query, key, value] = [0, 1, 2].map(|part| parts.get(part));
        let attended = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        );
        attended.transpose(1, 2).reshape([b, tokens, three_width / 3])
    }
}
