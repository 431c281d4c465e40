//! One layer of the encoder or decoder.

use super::PREFIX;
use super::config::SongUnetConfig;
use super::layout::{Row, RowKind};
use crate::blocks::{Conv2d, Pass, Resample, Segment, UnetBlock};
use crate::builder::{Builder, Init};
use diffusion_core::FeatureSite;
use tch::Tensor;

/// A row of the network's layout.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its output, named as in the state dict.
    pub(super) site: FeatureSite,
    /// Whether an output of the encoder is concatenated to the input.
    pub(super) takes_skip: bool,
    kind: LayerKind,
}

#[derive(Debug)]
enum LayerKind {
    Conv(Conv2d),
    Block(Segment),
}

impl Layer {
    pub(super) fn new(
        builder: &mut Builder<'_>,
        half: &str,
        row: Row,
        config: &SongUnetConfig,
    ) -> Self {
        let name = format!("{PREFIX}.{half}.{}", row.name);
        builder.enter(row.part);
        let site = builder.feature_site(&name);
        let kind = match row.kind {
            RowKind::Conv(channels) => {
                let init = Init::Glorot(1.0);
                LayerKind::Conv(Conv2d::new(builder, &name, channels, 3, Resample::Keep, init))
            }
            RowKind::Block(shape) => {
                let (emb, dropout) = (config.emb_channels(), config.dropout);
                LayerKind::Block(Segment::new(builder, dropout > 0.0, |builder| {
                    UnetBlock::new(builder, &name, shape, emb, dropout)
                }))
            }
        };
        Self { site, takes_skip: row.takes_skip, kind }
    }

    pub(super) fn forward(&self, x: &Tensor, emb: &Tensor, pass: &mut Pass<'_>) -> Tensor {
        match &self.kind {
            LayerKind::Conv(conv) => conv.forward(x),
            LayerKind::Block(segment) => segment.forward(&[x, emb], pass),
        }
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(super) fn prepare(&self) {
        match &self.kind {
            LayerKind::Conv(conv) => conv.prepare(),
            LayerKind::Block(segment) => segment.prepare(),
        }
    }
}
