//! Encoder and decoder as `SongUNet` and `DhariwalUNet` have them.

mod flow;
mod layer;
mod layout;
mod sizes;

pub(crate) use flow::Flow;
pub(crate) use sizes::{Attending, Sizes};
pub use sizes::{DecoderType, EncoderType};

use crate::blocks::{BlockStyle, Pass};
use crate::builder::{Builder, channels_last};
use layer::Layer;
use layout::Row;
use std::ops::ControlFlow;
use tch::Tensor;

/// The layers of encoder and decoder, in order.
#[derive(Debug)]
pub(crate) struct Trunk {
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
}

impl Trunk {
    /// The layers `enc.…` and `dec.…` of the network `prefix`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        prefix: &str,
        sizes: &Sizes<'_>,
        style: &BlockStyle,
    ) -> Self {
        let encoder = layout::encoder(sizes);
        let decoder = layout::decoder(sizes, &encoder);
        let mut layers = |half: &str, rows: Vec<Row>| {
            let half = format!("{prefix}.{half}");
            rows.into_iter().map(|row| Layer::new(builder, &half, row, style)).collect()
        };
        Self { encoder: layers("enc", encoder), decoder: layers("dec", decoder) }
    }

    /// `x`: `[B, C, H, W]`; `emb`: `[B, emb_channels]`. Features and branch after the last layer.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        emb: &Tensor,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Flow> {
        let mut flow = Flow::of(channels_last(x));
        for layer in &self.encoder {
            layer.forward(&mut flow, emb, pass)?;
        }
        flow.turn();
        for layer in &self.decoder {
            layer.forward(&mut flow, emb, pass)?;
        }
        ControlFlow::Continue(flow)
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(crate) fn prepare(&self) {
        self.encoder.iter().chain(&self.decoder).for_each(Layer::prepare);
    }
}
