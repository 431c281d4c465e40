//! The table of the layers of guided-diffusion's U-Net.

use super::config::GuidedUnetConfig;
use super::resize::ResizeShape;
use crate::blocks::{GuidedAttentionShape, GuidedBlockShape, Resample};
use diffusion_core::Part;

/// One entry of `input_blocks` or `output_blocks`, or `middle_block`, before it has tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The half of the network, or what is between them.
    pub(crate) part: Part,
    /// Its modules, evaluated one after the other; their official names are their indices.
    pub(crate) modules: Vec<ModuleShape>,
}

/// One module of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModuleShape {
    /// The first convolution, from and to so many channels.
    Conv([i64; 2]),
    /// A residual block, which may halve or double the resolution.
    Block(GuidedBlockShape),
    /// Self-attention.
    Attention(GuidedAttentionShape),
    /// Halving or doubling outside of a block.
    Resize(ResizeShape),
}

/// The whole network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The encoder, from the first convolution to the coarsest level.
    pub(crate) input: Vec<Row>,
    /// Two blocks with attention between them.
    pub(crate) middle: Row,
    /// The decoder. To the input of every entry the last unused output of the encoder is concatenated.
    pub(crate) output: Vec<Row>,
}

impl Layout {
    pub(crate) fn new(config: &GuidedUnetConfig) -> Self {
        let (input, outputs) = input(config);
        let coarsest = config.channel_mult.len() - 1;
        let channels = config.level_channels(coarsest);
        let block = || block([channels; 2], Resample::Keep);
        let attention = attention(config, channels, config.heads(channels));
        let middle = Row { part: Part::Bottleneck, modules: vec![block(), attention, block()] };
        let output = output(config, outputs, channels);
        Self { input, middle, output }
    }

    /// Every entry with its official name, in the order of evaluation.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (String, &Row)> {
        let name = |half: &str, idx: usize| format!("{half}.{idx}");
        let input =
            self.input.iter().enumerate().map(move |(i, row)| (name("input_blocks", i), row));
        let output =
            self.output.iter().enumerate().map(move |(i, row)| (name("output_blocks", i), row));
        input.chain([("middle_block".to_owned(), &self.middle)]).chain(output)
    }
}

/// The encoder, and the channels of every entry's output.
fn input(config: &GuidedUnetConfig) -> (Vec<Row>, Vec<i64>) {
    let mut channels = config.level_channels(0);
    let conv = ModuleShape::Conv([config.in_channels, channels]);
    let row = |modules| Row { part: Part::Encoder, modules };
    let mut rows = vec![row(vec![conv])];
    let mut outputs = vec![channels];
    for level in 0..config.channel_mult.len() {
        let width = config.level_channels(level);
        for _ in 0..config.num_res_blocks {
            let mut modules = vec![block([channels, width], Resample::Keep)];
            if config.attends(level) {
                modules.push(attention(config, width, config.heads(width)));
            }
            rows.push(row(modules));
            outputs.push(width);
            channels = width;
        }
        if level + 1 < config.channel_mult.len() {
            let down = resampling(config, channels, Resample::Down);
            rows.push(row(vec![down]));
            outputs.push(channels);
        }
    }
    (rows, outputs)
}

/// The decoder; `skips` are the channels of the encoder's outputs.
fn output(config: &GuidedUnetConfig, mut skips: Vec<i64>, mut channels: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for level in (0..config.channel_mult.len()).rev() {
        let width = config.level_channels(level);
        for idx in 0..=config.num_res_blocks {
            let skip = skips.pop().expect("the encoder has as many entries as the decoder");
            let mut modules = vec![block([channels + skip, width], Resample::Keep)];
            if config.attends(level) {
                modules.push(attention(config, width, config.heads_of_decoder(width)));
            }
            if idx == config.num_res_blocks && level > 0 {
                modules.push(resampling(config, width, Resample::Up));
            }
            rows.push(Row { part: Part::Decoder, modules });
            channels = width;
        }
    }
    rows
}

fn block([in_channels, out_channels]: [i64; 2], resample: Resample) -> ModuleShape {
    ModuleShape::Block(GuidedBlockShape { in_channels, out_channels, resample })
}

fn attention(config: &GuidedUnetConfig, channels: i64, heads: i64) -> ModuleShape {
    let (order, axes) = (config.qkv_order(), config.qkv_axes());
    ModuleShape::Attention(GuidedAttentionShape { channels, heads, order, axes })
}

fn resampling(config: &GuidedUnetConfig, channels: i64, resample: Resample) -> ModuleShape {
    if config.resblock_updown {
        block([channels; 2], resample)
    } else {
        let convolves = config.conv_resample;
        ModuleShape::Resize(ResizeShape { channels, resample, convolves })
    }
}

impl ModuleShape {
    /// The numbers of channels that the module normalizes.
    pub(crate) fn normalized(self) -> Vec<i64> {
        match self {
            Self::Block(shape) => vec![shape.in_channels, shape.out_channels],
            Self::Attention(shape) => vec![shape.channels],
            Self::Conv(_) | Self::Resize(_) => vec![],
        }
    }
}
