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

/// The levels of a network, from fine to coarse: channels and number of residual blocks.
#[derive(Debug)]
pub(crate) struct Ladder<'a> {
    /// What the names of its stages begin with.
    pub(crate) prefix: &'a str,
    /// Channels and, in the encoder, number of residual blocks.
    pub(crate) levels: &'a [(i64, i64)],
}

impl Ladder<'_> {
    /// The encoder. `attention`: of a level and a block in it.
    pub(crate) fn down(
        &self,
        padding: i64,
        attention: impl Fn(usize, usize) -> AttentionPlan,
    ) -> Vec<StagePlan> {
        let mut channels = self.levels[0].0;
        let stage = |(level, &(width, blocks)): (usize, &(i64, i64))| {
            let layer = |idx| {
                let from = std::mem::replace(&mut channels, width);
                LayerPlan { channels: [from, width], attention: attention(level, idx as usize) }
            };
            let last = level + 1 == self.levels.len();
            StagePlan {
                name: format!("{}down_blocks.{level}", self.prefix),
                part: Part::Encoder,
                layers: (0..blocks).map(layer).collect(),
                resampling: if last { Resampling::Keep } else { Resampling::Down { padding } },
                divisor: 1.0,
            }
        };
        self.levels.iter().enumerate().map(stage).collect()
    }

    /// The decoder: one residual block more on every level, to which the outputs of the encoder are concatenated, last one
    /// first, if `skips`. `attention`: of a level and a block in it.
    pub(crate) fn up(
        &self,
        skips: bool,
        attention: impl Fn(usize, usize) -> AttentionPlan,
    ) -> Vec<StagePlan> {
        let mut skips = if skips { self.skips() } else { Vec::new() };
        let coarsest = self.levels.len() - 1;
        let mut channels = self.levels[coarsest].0;
        let stage = |(level, &(width, blocks)): (usize, &(i64, i64))| {
            let layer = |idx| {
                let from = std::mem::replace(&mut channels, width) + skips.pop().unwrap_or(0);
                LayerPlan { channels: [from, width], attention: attention(level, idx as usize) }
            };
            StagePlan {
                name: format!("{}up_blocks.{}", self.prefix, coarsest - level),
                part: Part::Decoder,
                layers: (0..=blocks).map(layer).collect(),
                resampling: if level == 0 { Resampling::Keep } else { Resampling::Up },
                divisor: 1.0,
            }
        };
        self.levels.iter().enumerate().rev().map(stage).collect()
    }

    /// Channels of the encoder's outputs: the first convolution, every residual block, every halving.
    fn skips(&self) -> Vec<i64> {
        let mut skips = vec![self.levels[0].0];
        for (level, &(width, blocks)) in self.levels.iter().enumerate() {
            let halving = i64::from(level + 1 < self.levels.len());
            skips.extend((0..blocks + halving).map(|_| width));
        }
        skips
    }

    /// The stage between encoder and decoder: as many residual blocks as `attentions`.
    pub(crate) fn mid(&self, attentions: &[AttentionPlan], divisor: f64) -> StagePlan {
        let width = self.levels[self.levels.len() - 1].0;
        let layer = |&attention| LayerPlan { channels: [width, width], attention };
        StagePlan {
            name: format!("{}mid_block", self.prefix),
            part: Part::Bottleneck,
            layers: attentions.iter().map(layer).collect(),
            resampling: Resampling::Keep,
            divisor,
        }
    }
}

impl Plan {
    /// Width of the text, if any block looks at one.
    pub(crate) fn text_width(&self) -> Option<i64> {
        let stages = self.down.iter().chain([&self.mid]).chain(&self.up);
        stages.flat_map(|stage| &stage.layers).find_map(|layer| match layer.attention {
            AttentionPlan::Transformer(plan) => Some(plan.text),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(stages: &[StagePlan]) -> Vec<Vec<[i64; 2]>> {
        let of = |stage: &StagePlan| stage.layers.iter().map(|layer| layer.channels).collect();
        stages.iter().map(of).collect()
    }

    #[test]
    fn the_decoder_takes_what_the_encoder_leaves() {
        let ladder = Ladder { prefix: "", levels: &[(32, 1), (64, 2)] };
        let none = |_, _| AttentionPlan::None;
        assert_eq!(channels(&ladder.down(1, none)), [vec![[32, 32]], vec![[32, 64], [64, 64]]]);
        let up = ladder.up(true, none);
        assert_eq!(up[0].name, "up_blocks.0");
        assert_eq!(channels(&up)[0], [[128, 64], [128, 64], [96, 64]]);
        assert_eq!(channels(&up)[1], [[96, 32], [64, 32]]);
        let alone = channels(&ladder.up(false, none));
        assert_eq!(alone, [vec![[64, 64]; 3], vec![[64, 32], [32, 32]]]);
    }
}
