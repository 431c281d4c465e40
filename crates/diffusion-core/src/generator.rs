//! Anything that turns noise into images.

use crate::{Cond, Noise};
use tch::Tensor;

/// Turns standard normal noise into images.
///
/// A one-step student is a generator, and so is a teacher together with a sampler: metrics, grids and latency
/// measurements need no more than this.
pub trait Generator {
    /// Images for the latents `z`.
    ///
    /// `z`: `[B, C, H, W]`, **unit** normal (the generator scales it to its own first noise level). `noise` serves
    /// stochastic samplers. Returns `[B, C, H, W]`, about `[-1, 1]`, not clamped.
    ///
    /// # Gradient
    /// None: runs without recording a graph.
    fn generate(&self, z: &Tensor, cond: &Cond, noise: &mut Noise) -> Tensor;

    /// Network evaluations for one image.
    fn nfe(&self) -> usize;
}

impl<G: Generator + ?Sized> Generator for Box<G> {
    fn generate(&self, z: &Tensor, cond: &Cond, noise: &mut Noise) -> Tensor {
        (**self).generate(z, cond, noise)
    }

    fn nfe(&self) -> usize {
        (**self).nfe()
    }
}

impl<G: Generator + ?Sized> Generator for &G {
    fn generate(&self, z: &Tensor, cond: &Cond, noise: &mut Noise) -> Tensor {
        (**self).generate(z, cond, noise)
    }

    fn nfe(&self) -> usize {
        (**self).nfe()
    }
}
