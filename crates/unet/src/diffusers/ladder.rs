//! The levels of a network, laid out.

use super::plan::{AttentionPlan, LayerPlan, Resampling, StagePlan};
use diffusion_core::Part;

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
