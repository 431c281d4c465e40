//! One step from a noise level to a lower one.

use diffusion_core::{Cond, Denoiser, shape};
use tch::Tensor;

mod euler;
mod heun;

pub use euler::Euler;
pub use heun::Heun;

/// One step of the probability-flow equation, image by image.
///
/// ```text
/// dx / dsigma = (x - D(x; sigma)) / sigma
/// ```
///
/// The levels are per image, so that the same solver serves sampling, progressive distillation and consistency
/// distillation.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Eq. (1) and (3).
pub trait Solver {
    /// Takes `x` from the levels `from` to the levels `to`.
    ///
    /// # Shapes
    /// `x`: `[B, …]` of any float kind, in which the step is computed and returned; `from`, `to`: `[B]`, in the unit
    /// of `x`, `from` above 0 and `to` at least 0. The denoiser is never asked at level 0.
    ///
    /// # Gradient
    /// Flows into `x`, `from`, `to` and the denoiser.
    ///
    /// # Panics
    /// If `from` or `to` is not `[B]`.
    fn step(&self, d: &dyn Denoiser, x: &Tensor, from: &Tensor, to: &Tensor, cond: &Cond)
    -> Tensor;

    /// Network evaluations of one step.
    fn nfe(&self) -> usize;
}

/// `dx / dsigma` at `x` and the levels `sigma`, which have the kind of `x`.
fn slope(d: &dyn Denoiser, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
    let denoised = d.denoise(x, sigma, cond).to_kind(x.kind());
    (x - denoised) / shape::per_image(sigma, x)
}
