//! One layer of the encoder or decoder.

use super::PREFIX;
use super::layout::{Row, RowKind};
use crate::blocks::{Conv2d, Resample, UnetBlock};
use crate::builder::Builder;
use crate::config::SongUnetConfig;
use diffusion_core::Noise;
use libtorch_ext::autograd::checkpoint;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// A row of the network's layout.
#[derive(Debug)]
pub(super) struct Layer {
    /// As in the state dict.
    pub(super) name: String,
    /// Whether an output of the encoder is concatenated to the input.
    pub(super) takes_skip: bool,
    kind: LayerKind,
}

#[derive(Debug)]
enum LayerKind {
    Conv(Conv2d),
    Block(SharedBlock),
}

impl Layer {
    pub(super) fn new(
        builder: &mut Builder,
        half: &str,
        row: Row,
        config: &SongUnetConfig,
    ) -> Self {
        let name = format!("{PREFIX}.{half}.{}", row.name);
        let kind = match row.kind {
            RowKind::Conv(channels) => {
                LayerKind::Conv(Conv2d::new(builder, &name, channels, 3, Resample::Keep, 1.0))
            }
            RowKind::Block(shape) => {
                let emb = config.emb_channels();
                let first = builder.count();
                let block = UnetBlock::new(builder, &name, shape, emb, config.dropout);
                let weights = builder.trained_since(first);
                let block = Arc::new(Mutex::new(block));
                LayerKind::Block(SharedBlock { block, weights, drops: config.dropout > 0.0 })
            }
        };
        Self { name, takes_skip: row.takes_skip, kind }
    }

    /// Masks come from a fork of `dropout`. With `recompute`, a block keeps nothing for its backward pass.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        emb: &Tensor,
        dropout: Option<&mut Noise>,
        recompute: bool,
    ) -> Tensor {
        match &self.kind {
            LayerKind::Conv(conv) => conv.forward(x),
            LayerKind::Block(shared) => {
                let dropout = dropout.filter(|_| shared.drops);
                let mut masks = dropout.map(|noise| noise.fork("block"));
                if recompute && (x.requires_grad() || emb.requires_grad()) {
                    shared.recomputed(x, emb, masks)
                } else {
                    lock(&shared.block).forward(x, emb, masks.as_mut())
                }
            }
        }
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(super) fn prepare(&self) {
        match &self.kind {
            LayerKind::Conv(conv) => conv.prepare(),
            LayerKind::Block(shared) => {
                lock(&shared.block).convolutions().for_each(Conv2d::prepare);
            }
        }
    }
}

/// A block that a backward pass may evaluate again, on a thread of libtorch.
#[derive(Debug)]
struct SharedBlock {
    block: Arc<Mutex<UnetBlock>>,
    weights: Vec<Tensor>,
    /// Whether it has dropout.
    drops: bool,
}

impl SharedBlock {
    fn recomputed(&self, x: &Tensor, emb: &Tensor, masks: Option<Noise>) -> Tensor {
        let block = Arc::clone(&self.block);
        let forward = move |inputs: &[Tensor]| {
            lock(&block).forward(&inputs[0], &inputs[1], masks.clone().as_mut())
        };
        let inputs = [x.shallow_clone(), emb.shallow_clone()];
        let output = checkpoint(forward, &inputs, &self.weights);
        output.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Evaluation changes nothing that a panic could leave half done.
fn lock(block: &Mutex<UnetBlock>) -> MutexGuard<'_, UnetBlock> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
