//! The table of a SongUNet's layers.

use super::config::SongUnetConfig;
use crate::blocks::{BlockShape, Resample};
use diffusion_core::Part;

/// One layer of the encoder or decoder, before it has tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Official name within the encoder or decoder.
    pub(crate) name: String,
    /// The part of the network; the two inner blocks are officially of the decoder.
    pub(crate) part: Part,
    /// What the layer is.
    pub(crate) kind: RowKind,
    /// Whether the last unused output of the encoder is concatenated to the layer's input.
    pub(crate) takes_skip: bool,
}

/// The two kinds of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// A 3 × 3 convolution from and to so many channels.
    Conv([i64; 2]),
    /// A residual block.
    Block(BlockShape),
}

impl Row {
    fn conv(name: String, channels: [i64; 2]) -> Self {
        Self { name, part: Part::Encoder, kind: RowKind::Conv(channels), takes_skip: false }
    }

    fn block(name: String, [in_channels, out_channels]: [i64; 2]) -> Self {
        let (resample, attention) = (Resample::Keep, false);
        let shape = BlockShape { in_channels, out_channels, resample, attention };
        Self { name, part: Part::Encoder, kind: RowKind::Block(shape), takes_skip: false }
    }

    fn within(self, part: Part) -> Self {
        Self { part, ..self }
    }

    fn resampling(self, resample: Resample) -> Self {
        self.with(|shape| shape.resample = resample)
    }

    fn attending(self, attention: bool) -> Self {
        self.with(|shape| shape.attention = attention)
    }

    fn with(mut self, change: impl FnOnce(&mut BlockShape)) -> Self {
        if let RowKind::Block(shape) = &mut self.kind {
            change(shape);
        }
        self
    }

    /// Channels of the output.
    pub(crate) fn out_channels(&self) -> i64 {
        match self.kind {
            RowKind::Conv([_, out_channels]) => out_channels,
            RowKind::Block(shape) => shape.out_channels,
        }
    }

    /// The numbers of channels that the layer normalizes.
    pub(crate) fn normalized(&self) -> Vec<i64> {
        match self.kind {
            RowKind::Conv(_) => vec![],
            RowKind::Block(shape) => vec![shape.in_channels, shape.out_channels],
        }
    }
}

/// The encoder: for each level from fine to coarse, the first convolution or a halving block, then `num_blocks` blocks.
pub(crate) fn encoder(config: &SongUnetConfig) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut channels = config.model_channels;
    for (level, mult) in config.channel_mult.iter().enumerate() {
        let level_name = name(config, level);
        rows.push(match level {
            0 => Row::conv(format!("{level_name}_conv"), [config.img_channels, channels]),
            _ => Row::block(format!("{level_name}_down"), [channels; 2]).resampling(Resample::Down),
        });
        let width = mult * config.model_channels;
        for idx in 0..config.num_blocks {
            let block = Row::block(format!("{level_name}_block{idx}"), [channels, width]);
            rows.push(block.attending(attends(config, level)));
            channels = width;
        }
    }
    rows
}

/// The decoder: for each level from coarse to fine, two inner blocks or a doubling block, then `num_blocks + 1` blocks
/// that take the encoder's outputs, last one first. Only the last block of a level attends.
pub(crate) fn decoder(config: &SongUnetConfig, encoder: &[Row]) -> Vec<Row> {
    let mut skips: Vec<i64> = encoder.iter().map(Row::out_channels).collect();
    let mut rows = Vec::new();
    let coarsest = config.channel_mult.len() - 1;
    let mut channels = config.channel_mult[coarsest] * config.model_channels;
    for (level, mult) in config.channel_mult.iter().enumerate().rev() {
        let level_name = name(config, level);
        if level == coarsest {
            let inner = |idx| {
                let row = Row::block(format!("{level_name}_in{idx}"), [channels; 2]);
                row.within(Part::Bottleneck)
            };
            rows.push(inner(0).attending(true));
            rows.push(inner(1));
        } else {
            let up = Row::block(format!("{level_name}_up"), [channels; 2]);
            rows.push(up.within(Part::Decoder).resampling(Resample::Up));
        }
        let width = mult * config.model_channels;
        for idx in 0..=config.num_blocks {
            let skip =
                skips.pop().expect("the encoder has as many layers as the decoder has blocks");
            let block = Row::block(format!("{level_name}_block{idx}"), [channels + skip, width]);
            let block = block.attending(idx == config.num_blocks && attends(config, level));
            rows.push(Row { takes_skip: true, ..block.within(Part::Decoder) });
            channels = width;
        }
    }
    rows
}

/// `32x32` and so on: a level's resolution, twice.
pub(crate) fn name(config: &SongUnetConfig, level: usize) -> String {
    let resolution = config.img_resolution >> level;
    format!("{resolution}x{resolution}")
}

fn attends(config: &SongUnetConfig, level: usize) -> bool {
    config.attn_resolutions.contains(&(config.img_resolution >> level))
}
