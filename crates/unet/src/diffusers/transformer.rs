//! Transformers that look at the pixels and the text.

use super::heads::{Heads, HeadsShape, image, tokens};
use super::plan::TransformerPlan;
use crate::blocks::{Block, Conv2d, GroupNorm, LayerNorm, Linear, Pass, Resample};
use crate::builder::{Builder, Init};
use diffusion_core::AttentionKind;
use tch::Tensor;

/// Added to the variance in the normalization before a transformer, whatever it is elsewhere in the network.
const GROUP_EPSILON: f64 = 1e-6;
/// The same inside.
const LAYER_EPSILON: f64 = 1e-5;

/// Transformer blocks over the pixels, with a residual connection.
///
/// # Source
/// Rombach et al. 2022, arXiv:2112.10752, section 3.3.
#[derive(Debug)]
pub(super) struct Transformer {
    norm: GroupNorm,
    project: Projection,
    blocks: Vec<TransformerBlock>,
}

/// The layers `proj_in` and `proj_out`.
#[derive(Debug)]
enum Projection {
    Convolutions([Conv2d; 2]),
    Linear([Linear; 2]),
}

impl Transformer {
    pub(super) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        width: i64,
        groups: i64,
        plan: TransformerPlan,
    ) -> Self {
        let norm = GroupNorm::new(builder, &format!("{name}.norm"), width, groups, GROUP_EPSILON);
        let (first, last) = (format!("{name}.proj_in"), format!("{name}.proj_out"));
        let inner = |builder: &mut Builder<'_>| {
            let block = |idx| {
                let name = format!("{name}.transformer_blocks.{idx}");
                TransformerBlock::new(builder, &name, width, plan)
            };
            (0..plan.depth).map(block).collect()
        };
        let linear = |builder: &mut Builder<'_>, name: &str| {
            Linear::new(builder, name, [width; 2], Init::FanIn)
        };
        let pointwise = |builder: &mut Builder<'_>, name: &str| {
            Conv2d::new(builder, name, [width; 2], 1, Resample::Keep, Init::FanIn)
        };
        let (project, blocks);
        if plan.linear {
            let into = linear(builder, &first);
            blocks = inner(builder);
            project = Projection::Linear([into, linear(builder, &last)]);
        } else {
            let into = pointwise(builder, &first);
            blocks = inner(builder);
            project = Projection::Convolutions([into, pointwise(builder, &last)]);
        }
        Self { norm, project, blocks }
    }
}

impl Block for Transformer {
    /// Inputs: `x`, `[B, C, H, W]`, and the text, `[B, tokens, width]`.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let [x, text] = inputs else { panic!("a transformer takes an image and a text") };
        let normalized = self.norm.forward(x);
        let (mut h, grid) = match &self.project {
            Projection::Convolutions([into, _]) => tokens(&into.forward(&normalized)),
            Projection::Linear([into, _]) => {
                let (pixels, grid) = tokens(&normalized);
                (into.forward(&pixels), grid)
            }
        };
        for block in &self.blocks {
            h = block.forward(&h, text, grid, pass);
        }
        match &self.project {
            Projection::Convolutions([_, out]) => {
                out.forward_into(&image(&h, grid), |conv| conv.residual(x))
            }
            Projection::Linear([_, out]) => image(&out.forward(&h), grid) + x,
        }
    }

    fn convolutions(&self) -> Vec<&Conv2d> {
        match &self.project {
            Projection::Convolutions(both) => both.iter().collect(),
            Projection::Linear(_) => Vec::new(),
        }
    }
}

/// Attention to the pixels, attention to the text, and a gated feed-forward layer, each with a residual connection.
///
/// ```text
/// h = h + attn1(norm1(h), norm1(h))
/// h = h + attn2(norm2(h), text)
/// [a, b] = proj(norm3(h)),  h = h + net(a · gelu(b))
/// ```
#[derive(Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: Heads,
    norm2: LayerNorm,
    attn2: Heads,
    norm3: LayerNorm,
    proj: Linear,
    net: Linear,
    only_cross: bool,
}

impl TransformerBlock {
    fn new(builder: &mut Builder<'_>, name: &str, width: i64, plan: TransformerPlan) -> Self {
        let part = |part: &str| format!("{name}.{part}");
        let (to_pixels, to_text) = (AttentionKind::SelfAttention, AttentionKind::CrossAttention);
        let shape =
            |kind, context| HeadsShape { width, context, heads: plan.heads, bias: false, kind };
        let cross = shape(to_text, plan.text);
        let first = if plan.only_cross { cross } else { shape(to_pixels, width) };
        let (inner, init) = (4 * width, Init::FanIn);
        Self {
            norm1: LayerNorm::new(builder, &part("norm1"), width, LAYER_EPSILON),
            attn1: Heads::new(builder, &part("attn1"), first),
            norm2: LayerNorm::new(builder, &part("norm2"), width, LAYER_EPSILON),
            attn2: Heads::new(builder, &part("attn2"), cross),
            norm3: LayerNorm::new(builder, &part("norm3"), width, LAYER_EPSILON),
            proj: Linear::new(builder, &part("ff.net.0.proj"), [width, 2 * inner], init),
            net: Linear::new(builder, &part("ff.net.2"), [inner, width], init),
            only_cross: plan.only_cross,
        }
    }

    fn forward(&self, h: &Tensor, text: &Tensor, grid: [i64; 2], pass: &mut Pass<'_>) -> Tensor {
        let normalized = self.norm1.forward(h);
        let context = if self.only_cross { text } else { &normalized };
        let h = h + self.attn1.forward(&normalized, context, grid, pass);
        let h = &h + self.attn2.forward(&self.norm2.forward(&h), text, grid, pass);
        let halves = self.proj.forward(&self.norm3.forward(&h)).chunk(2, -1);
        let gated = &halves[0] * halves[1].gelu("none");
        h + self.net.forward(&gated)
    }
}
