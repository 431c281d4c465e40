//! The encoder or the decoder.

use super::config::AutoencoderKlConfig;
use crate::blocks::{Conv2d, GroupNorm, Pass, Resample, unbroken};
use crate::builder::{Builder, Init, channels_last};
use crate::diffusers::{AttentionPlan, Flow, Ladder, PixelsPlan, Stage, StagePlan, Style};
use std::ops::ControlFlow;
use tch::Tensor;

/// Added to the variance in every normalization.
const EPSILON: f64 = 1e-6;

/// The stages of one direction, and the middle block, with the convolutions around them.
#[derive(Debug)]
pub(super) struct Half {
    conv_in: Conv2d,
    stages: Vec<Stage>,
    mid: Stage,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    direction: Direction,
}

/// Where the middle block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// After the stages, in the encoder.
    Down,
    /// Before the stages, in the decoder.
    Up,
}

impl Half {
    /// From images to means and log-variances of the latents.
    pub(super) fn encoder(builder: &mut Builder<'_>, config: &AutoencoderKlConfig) -> Self {
        let (channels, widths) = (config.in_channels, ends(config));
        let around = [[channels, widths[0]], [widths[1], 2 * config.latent_channels]];
        Self::new(builder, "encoder", encoder_plan(config), around, config, Direction::Down)
    }

    /// From latents to images.
    pub(super) fn decoder(builder: &mut Builder<'_>, config: &AutoencoderKlConfig) -> Self {
        let (channels, widths) = (config.out_channels, ends(config));
        let around = [[config.latent_channels, widths[1]], [widths[0], channels]];
        Self::new(builder, "decoder", decoder_plan(config), around, config, Direction::Up)
    }

    fn new(
        builder: &mut Builder<'_>,
        name: &str,
        (stages, mid): (Vec<StagePlan>, StagePlan),
        [first, last]: [[i64; 2]; 2],
        config: &AutoencoderKlConfig,
        direction: Direction,
    ) -> Self {
        let groups = config.norm_num_groups;
        let style = Style { groups, epsilon: EPSILON, dropout: 0.0, time: None };
        let conv = |builder: &mut Builder<'_>, part, channels| {
            let name = format!("{name}.{part}");
            Conv2d::new(builder, &name, channels, 3, Resample::Keep, Init::FanIn)
        };
        let norm_out = format!("{name}.conv_norm_out");
        Self {
            conv_in: conv(builder, "conv_in", first),
            stages: stages.iter().map(|plan| Stage::new(builder, plan, &style)).collect(),
            mid: Stage::new(builder, &mid, &style),
            norm_out: GroupNorm::new(builder, &norm_out, last[0], groups, EPSILON),
            conv_out: conv(builder, "conv_out", last),
            direction,
        }
    }

    /// `[B, C, H, W]` to `[B, C', H', W']`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let x = unbroken(self.through_stages(self.conv_in.forward(&channels_last(x))));
        self.conv_out.forward(&self.norm_out.forward_silu(&x))
    }

    fn through_stages(&self, mut x: Tensor) -> ControlFlow<(), Tensor> {
        let (flow, pass) = (Flow { emb: None, text: None }, &mut Pass::new(None));
        if self.direction == Direction::Up {
            x = self.mid.pass_through(x, flow, pass)?;
        }
        for stage in &self.stages {
            x = stage.pass_through(x, flow, pass)?;
        }
        if self.direction == Direction::Down {
            x = self.mid.pass_through(x, flow, pass)?;
        }
        ControlFlow::Continue(x)
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(super) fn prepare(&self) {
        [&self.conv_in, &self.conv_out].into_iter().for_each(Conv2d::prepare);
        self.stages.iter().chain([&self.mid]).for_each(Stage::prepare);
    }
}

/// The stages of the encoder and its middle block.
pub(super) fn encoder_plan(config: &AutoencoderKlConfig) -> (Vec<StagePlan>, StagePlan) {
    let levels = levels(config);
    let ladder = Ladder { prefix: "encoder.", levels: &levels };
    (ladder.down(0, |_, _| AttentionPlan::None), mid(&ladder, config))
}

/// The stages of the decoder and its middle block.
pub(super) fn decoder_plan(config: &AutoencoderKlConfig) -> (Vec<StagePlan>, StagePlan) {
    let levels = levels(config);
    let ladder = Ladder { prefix: "decoder.", levels: &levels };
    (ladder.up(false, |_, _| AttentionPlan::None), mid(&ladder, config))
}

fn mid(ladder: &Ladder<'_>, config: &AutoencoderKlConfig) -> StagePlan {
    let [_, head_width] = ends(config);
    let attention = match config.mid_block_add_attention {
        true => {
            AttentionPlan::Pixels(PixelsPlan { head_width, groups: Some(config.norm_num_groups) })
        }
        false => AttentionPlan::None,
    };
    ladder.mid(&[attention, AttentionPlan::None], 1.0)
}

fn levels(config: &AutoencoderKlConfig) -> Vec<(i64, i64)> {
    config.block_out_channels.iter().map(|&width| (width, config.layers_per_block)).collect()
}

/// Channels of the finest and the coarsest level.
fn ends(config: &AutoencoderKlConfig) -> [i64; 2] {
    let widths = &config.block_out_channels;
    [widths[0], widths[widths.len() - 1]]
}
