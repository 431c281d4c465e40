//! A network in training mode, seen as a denoiser.

use diffusion_core::{Cond, Denoiser, Noise};
use diffusion_schedule::Network;
use std::cell::RefCell;
use tch::Tensor;

/// A network whose dropout is active, with masks from its own noise.
///
/// Two of them made from clones of one noise share their masks, pass by pass, as consistency training needs.
pub struct WithDropout<'a> {
    network: &'a Network,
    noise: RefCell<Noise>,
}

impl<'a> WithDropout<'a> {
    /// `network` with dropout masks drawn from `noise`.
    pub fn new(network: &'a Network, noise: Noise) -> Self {
        Self { network, noise: RefCell::new(noise) }
    }
}

impl Denoiser for WithDropout<'_> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
        self.network.denoise_with(x, sigma, cond, Some(&mut self.noise.borrow_mut()))
    }
}

impl std::fmt::Debug for WithDropout<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithDropout").field("noise", &self.noise).finish_non_exhaustive()
    }
}
