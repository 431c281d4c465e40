//! One block of a vision transformer.

use crate::blocks::{LayerNorm, Linear, Sight, attend};
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
        let qkv = self.qkv.forward(&self.norm1.forward(x));
        let attended = self.proj.forward(&attend(&qkv, self.heads, Sight::All));
        let x = x + scaled(attended, &self.scale1);
        let inner = self.fc1.forward(&self.norm2.forward(&x)).gelu("none");
        &x + scaled(self.fc2.forward(&inner), &self.scale2)
    }
}
