//! What a network is going to be made of, before it has tensors.

use super::time_scale_shift::TimeScaleShift;
use diffusion_core::Part;

/// A whole U-Net between its first and last convolution.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Channels of the images, in and out.
    pub(crate) images: [i64; 2],
    /// Channels of the first level.
    pub(crate) width: i64,
    /// From fine to coarse.
    pub(crate) down: Vec<StagePlan>,
    /// Between encoder and decoder.
    pub(crate) mid: StagePlan,
    /// From coarse to fine.
    pub(crate) up: Vec<StagePlan>,
    /// What all blocks have in common.
    pub(crate) style: Style,
}

/// What all residual blocks of a network have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Normalization groups.
    pub(crate) groups: i64,
    /// Added to the variance in normalizations.
    pub(crate) epsilon: f64,
    /// Probability of zeroing an activation in training.
    pub(crate) dropout: f64,
    /// Width of the embedding and how it is used; `None` for blocks that see none.
    pub(crate) time: Option<(i64, TimeScaleShift)>,
}

/// Residual blocks of one resolution, each followed by attention or not, and what changes the resolution after them.
#[derive(Debug)]
pub(crate) struct StagePlan {
    /// Official name.
    pub(crate) name: String,
    /// The part of the network.
    pub(crate) part: Part,
    /// The blocks.
    pub(crate) layers: Vec<LayerPlan>,
    /// What follows them.
    pub(crate) resampling: Resampling,
    /// What the sums of residual blocks are divided by.
    pub(crate) divisor: f64,
}

/// A residual block and the attention after it.
#[derive(Debug)]
pub(crate) struct LayerPlan {
    /// Channels `[in, out]`, those of a concatenated skip included.
    pub(crate) channels: [i64; 2],
    /// What follows.
    pub(crate) attention: AttentionPlan,
}

/// What follows a residual block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AttentionPlan {
    /// Nothing.
    None,
    /// Attention of the pixels to each other.
    Pixels(PixelsPlan),
    /// A transformer that looks at the pixels and the text.
    Transformer(TransformerPlan),
}

/// Attention of the pixels to each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PixelsPlan {
    /// Channels of each head.
    pub(crate) head_width: i64,
    /// Groups of the normalization before it, if there is one.
    pub(crate) groups: Option<i64>,
}

/// A transformer that looks at the pixels and the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TransformerPlan {
    /// Number of heads.
    pub(crate) heads: i64,
    /// Number of its blocks.
    pub(crate) depth: i64,
    /// Width of the text.
    pub(crate) text: i64,
    /// Whether the layers into and out of it are fully connected ones.
    pub(crate) linear: bool,
    /// Whether its first attention, too, looks at the text.
    pub(crate) only_cross: bool,
}

/// What changes the resolution after a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resampling {
    /// Nothing does.
    Keep,
    /// A strided convolution, with a frame of zeros on all sides (1) or only to the right and below (0).
    Down { padding: i64 },
    /// Repeated pixels, then a convolution.
    Up,
}

impl Plan {
    /// Width of the text, if any block looks at one.
    pub(crate) fn text_width(&self) -> Option<i64> {
        self.transformers().map(|plan| plan.text).next()
    }

    /// Whether all transformers look at a text of the same width.
    pub(crate) fn sees_one_text(&self) -> bool {
        self.transformers().all(|plan| Some(plan.text) == self.text_width())
    }

    /// Blocks of all transformers together.
    pub(crate) fn transformer_blocks(&self) -> i64 {
        self.transformers().map(|plan| plan.depth).sum()
    }

    fn transformers(&self) -> impl Iterator<Item = TransformerPlan> {
        let stages = self.down.iter().chain([&self.mid]).chain(&self.up);
        stages.flat_map(|stage| &stage.layers).filter_map(|layer| match layer.attention {
            AttentionPlan::Transformer(plan) => Some(plan),
            _ => None,
        })
    }
}
