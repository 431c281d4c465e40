//! The table of the layers.

use super::sizes::{Attending, DecoderType, EncoderType, Sizes};
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

/// The kinds of layers. Those called `Aux…` are of the branch beside the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// A 3 × 3 convolution from and to so many channels.
    Conv([i64; 2]),
    /// A residual block.
    Block(BlockShape),
    /// Halves or doubles the branch.
    AuxResample(Resample),
    /// A 1 × 1 convolution of the branch, which the blocks' features take in.
    AuxSkip([i64; 2]),
    /// A halving convolution of the branch, which takes in the blocks' features and is taken in by them.
    AuxResidual([i64; 2]),
    /// A normalization and a 3 × 3 convolution of the blocks' features, which the branch takes in.
    AuxImage([i64; 2]),
}

impl Row {
    fn new(name: String, part: Part, kind: RowKind) -> Self {
        Self { name, part, kind, takes_skip: false }
    }

    fn block(name: String, part: Part, [in_channels, out_channels]: [i64; 2]) -> Self {
        let (resample, attention) = (Resample::Keep, false);
        let shape = BlockShape { in_channels, out_channels, resample, attention };
        Self::new(name, part, RowKind::Block(shape))
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

    /// Channels of the features that the decoder gets from the layer, if it gets any.
    pub(crate) fn given_channels(&self) -> Option<i64> {
        match self.kind {
            RowKind::Conv([_, out_channels]) => Some(out_channels),
            RowKind::Block(shape) => Some(shape.out_channels),
            _ => None,
        }
    }

    /// The numbers of channels that the layer normalizes.
    pub(crate) fn normalized(&self) -> Vec<i64> {
        match self.kind {
            RowKind::Block(shape) => vec![shape.in_channels, shape.out_channels],
            RowKind::AuxImage([channels, _]) => vec![channels],
            _ => vec![],
        }
    }

    /// The number of channels that the layer attends over.
    pub(crate) fn attended(&self) -> Option<i64> {
        match self.kind {
            RowKind::Block(shape) if shape.attention => Some(shape.out_channels),
            _ => None,
        }
    }
}

/// The encoder: for each level from fine to coarse, the first convolution or a halving block, then the branch, then
/// `num_blocks` blocks.
pub(crate) fn encoder(sizes: &Sizes<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut channels = sizes.model_channels;
    let mut branch = sizes.img_channels;
    for level in 0..sizes.channel_mult.len() {
        let name = |part: &str| format!("{}_{part}", sizes.name(level));
        if level == 0 {
            let stem = RowKind::Conv([sizes.img_channels, channels]);
            rows.push(Row::new(name("conv"), Part::Encoder, stem));
        } else {
            let down = Row::block(name("down"), Part::Encoder, [channels; 2]);
            rows.push(down.resampling(Resample::Down));
            rows.extend(encoder_branch(sizes, level, [branch, channels]));
            if sizes.encoder_type == EncoderType::Residual {
                branch = channels;
            }
        }
        for idx in 0..sizes.num_blocks {
            let (block, width) = (name(&format!("block{idx}")), sizes.width(level));
            let block = Row::block(block, Part::Encoder, [channels, width]);
            rows.push(block.attending(sizes.attends(level)));
            channels = width;
        }
    }
    rows
}

fn encoder_branch(sizes: &Sizes<'_>, level: usize, channels: [i64; 2]) -> Vec<Row> {
    let row = |part: &str, kind| {
        Row::new(format!("{}_aux_{part}", sizes.name(level)), Part::Encoder, kind)
    };
    match sizes.encoder_type {
        EncoderType::Standard => vec![],
        EncoderType::Skip => vec![
            row("down", RowKind::AuxResample(Resample::Down)),
            row("skip", RowKind::AuxSkip(channels)),
        ],
        EncoderType::Residual => vec![row("residual", RowKind::AuxResidual(channels))],
    }
}

/// The decoder: for each level from coarse to fine, two inner blocks or a doubling block, then `num_blocks + 1` blocks
/// that take the encoder's outputs, last one first, then the branch.
pub(crate) fn decoder(sizes: &Sizes<'_>, encoder: &[Row]) -> Vec<Row> {
    let mut skips: Vec<i64> = encoder.iter().filter_map(Row::given_channels).collect();
    let mut rows = Vec::new();
    let coarsest = sizes.channel_mult.len() - 1;
    let mut channels = sizes.width(coarsest);
    for level in (0..=coarsest).rev() {
        let name = |part: &str| format!("{}_{part}", sizes.name(level));
        if level == coarsest {
            let inner = |part| Row::block(name(part), Part::Bottleneck, [channels; 2]);
            rows.push(inner("in0").attending(true));
            rows.push(inner("in1"));
        } else {
            let up = Row::block(name("up"), Part::Decoder, [channels; 2]);
            rows.push(up.resampling(Resample::Up));
        }
        for idx in 0..=sizes.num_blocks {
            let skip =
                skips.pop().expect("the encoder has as many layers as the decoder has blocks");
            let (block, width) = (name(&format!("block{idx}")), sizes.width(level));
            let block = Row::block(block, Part::Decoder, [channels + skip, width]);
            let attends = idx == sizes.num_blocks || sizes.attending == Attending::Every;
            let block = block.attending(attends && sizes.attends(level));
            rows.push(Row { takes_skip: true, ..block });
            channels = width;
        }
        rows.extend(decoder_branch(sizes, level));
    }
    rows
}

fn decoder_branch(sizes: &Sizes<'_>, level: usize) -> Vec<Row> {
    let row = |part: &str, kind| {
        Row::new(format!("{}_aux{part}", sizes.name(level)), Part::Decoder, kind)
    };
    let image = row("", RowKind::AuxImage([sizes.width(level), sizes.img_channels]));
    let doubled = row("_up", RowKind::AuxResample(Resample::Up));
    match sizes.decoder_type {
        Some(DecoderType::Standard) if level == 0 => vec![image],
        Some(DecoderType::Skip) if level + 1 == sizes.channel_mult.len() => vec![image],
        Some(DecoderType::Skip) => vec![doubled, image],
        Some(DecoderType::Standard) | None => vec![],
    }
}
