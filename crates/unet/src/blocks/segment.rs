//! Parts of a network that a backward pass may evaluate again.

use super::{Conv2d, Pass};
use crate::builder::Builder;
use diffusion_core::Noise;
use libtorch_ext::autograd::checkpoint;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// What a segment holds: a part of a network with few inputs and one output.
pub(crate) trait Block: Debug + Send {
    /// Evaluates the block. The inputs are the block's own: an image and an embedding, for example.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor;

    /// The convolutions whose weights can be prepared.
    fn convolutions(&self) -> Vec<&Conv2d>;
}

/// A block that a backward pass may evaluate again, on a thread of libtorch.
#[derive(Debug)]
pub(crate) struct Segment {
    block: Arc<Mutex<dyn Block>>,
    weights: Vec<Tensor>,
    drops: bool,
}

impl Segment {
    /// `drops`: whether the block has dropout.
    pub(crate) fn new<B: Block + 'static>(
        builder: &mut Builder<'_>,
        drops: bool,
        block: impl FnOnce(&mut Builder<'_>) -> B,
    ) -> Self {
        let first = builder.count();
        let block = block(builder);
        Self { weights: builder.trained_since(first), block: Arc::new(Mutex::new(block)), drops }
    }

    /// Evaluates the block with masks from a fork of the pass's noise.
    pub(crate) fn forward(&self, inputs: &[&Tensor], pass: &mut Pass<'_>) -> Tensor {
        let inputs: Vec<Tensor> = inputs.iter().map(|input| input.shallow_clone()).collect();
        let mut masks = pass.noise().filter(|_| self.drops).map(|noise| noise.fork("block"));
        if pass.recomputes() && inputs.iter().any(Tensor::requires_grad) {
            self.recomputed(&inputs, masks)
        } else {
            lock(&self.block).forward(&inputs, &mut pass.with_noise(masks.as_mut()))
        }
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(crate) fn prepare(&self) {
        lock(&self.block).convolutions().into_iter().for_each(Conv2d::prepare);
    }

    fn recomputed(&self, inputs: &[Tensor], masks: Option<Noise>) -> Tensor {
        let block = Arc::clone(&self.block);
        let forward = move |inputs: &[Tensor]| {
            lock(&block).forward(inputs, &mut Pass::new(masks.clone().as_mut()))
        };
        let output = checkpoint(forward, inputs, &self.weights);
        output.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Evaluation changes nothing that a panic could leave half done.
fn lock<'a>(block: &'a Mutex<dyn Block + 'static>) -> MutexGuard<'a, dyn Block + 'static> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
