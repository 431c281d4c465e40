//! The transformer that both towers are made of.

use super::ClipActivation;
use crate::blocks::{LayerNorm, Linear, Sight, attend};
use crate::tensors::Tensors;
use tch::Tensor;

/// Of every normalization.
pub(super) const EPSILON: f64 = 1e-5;

/// Sizes of the transformer of a CLIP tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipTransformerConfig {
    /// Channels of a token.
    pub width: i64,
    /// Number of blocks.
    pub layers: i64,
    /// Heads of each attention, a divisor of the width.
    pub heads: i64,
    /// Channels inside each perceptron.
    pub hidden: i64,
    /// Between the layers of each perceptron.
    pub activation: ClipActivation,
}

/// Blocks in a row.
#[derive(Debug)]
pub(super) struct Transformer {
    blocks: Vec<Block>,
}

impl Transformer {
    pub(super) fn new(
        tensors: &mut Tensors,
        name: &str,
        config: ClipTransformerConfig,
        sight: Sight,
    ) -> Self {
        let ClipTransformerConfig { width, heads, .. } = config;
        assert!(heads > 0 && width % heads == 0, "{heads} heads do not divide a width of {width}");
        let block = |i| Block::new(tensors, &format!("{name}.resblocks.{i}"), config, sight);
        Self { blocks: (0..config.layers).map(block).collect() }
    }

    /// `[B, tokens, width]` to the same shape.
    pub(super) fn forward(&self, x: Tensor) -> Tensor {
        self.blocks.iter().fold(x, |x, block| block.forward(&x))
    }
}

/// Attention, then a perceptron, each behind a normalization and beside a residual connection.
#[derive(Debug)]
struct Block {
    ln_1: LayerNorm,
    qkv: Linear,
    out_proj: Linear,
    ln_2: LayerNorm,
    c_fc: Linear,
    c_proj: Linear,
    config: ClipTransformerConfig,
    sight: Sight,
}

impl Block {
    fn new(tensors: &mut Tensors, name: &str, config: ClipTransformerConfig, sight: Sight) -> Self {
        let ClipTransformerConfig { width, hidden, .. } = config;
        let part = |part: &str| format!("{name}.{part}");
        let in_proj = ["attn.in_proj_weight", "attn.in_proj_bias"].map(part);
        Self {
            ln_1: LayerNorm::new(tensors, &part("ln_1"), width, EPSILON),
            qkv: Linear::named(tensors, in_proj, [width, 3 * width]),
            out_proj: Linear::new(tensors, &part("attn.out_proj"), [width, width]),
            ln_2: LayerNorm::new(tensors, &part("ln_2"), width, EPSILON),
            c_fc: Linear::new(tensors, &part("mlp.c_fc"), [width, hidden]),
            c_proj: Linear::new(tensors, &part("mlp.c_proj"), [hidden, width]),
            config,
            sight,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let qkv = self.qkv.forward(&self.ln_1.forward(x));
        let x = x + self.out_proj.forward(&attend(&qkv, self.config.heads, self.sight));
        let inner = self.config.activation.apply(&self.c_fc.forward(&self.ln_2.forward(&x)));
        &x + self.c_proj.forward(&inner)
    }
}
