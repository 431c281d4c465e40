//! Self-attention over the pixels of an image.

use super::heads::{Heads, HeadsShape, image, tokens};
use super::plan::PixelsPlan;
use crate::blocks::{Block, Conv2d, GroupNorm, Pass};
use crate::builder::Builder;
use diffusion_core::AttentionKind;
use tch::Tensor;

/// Self-attention with a residual connection.
#[derive(Debug)]
pub(super) struct PixelAttention {
    norm: Option<GroupNorm>,
    heads: Heads,
    divisor: f64,
}

impl PixelAttention {
    /// `divisor`: what the sum with the input is divided by.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        width: i64,
        PixelsPlan { head_width, groups }: PixelsPlan,
        (epsilon, divisor): (f64, f64),
    ) -> Self {
        let group_norm = format!("{name}.group_norm");
        let norm =
            groups.map(|groups| GroupNorm::new(builder, &group_norm, width, groups, epsilon));
        let kind = AttentionKind::SelfAttention;
        let shape =
            HeadsShape { width, context: width, heads: width / head_width, bias: true, kind };
        Self { norm, heads: Heads::new(builder, name, shape), divisor }
    }
}

impl Block for PixelAttention {
    /// Inputs: `x`, `[B, C, H, W]`, and what attention of the pixels to each other does not need.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let x = &inputs[0];
        let normalized = self.norm.as_ref().map(|norm| norm.forward(x));
        let (pixels, grid) = tokens(normalized.as_ref().unwrap_or(x));
        let sum = x + image(&self.heads.forward(&pixels, &pixels, grid, pass), grid);
        if self.divisor == 1.0 { sum } else { sum / self.divisor }
    }

    fn convolutions(&self) -> Vec<&Conv2d> {
        Vec::new()
    }
}
