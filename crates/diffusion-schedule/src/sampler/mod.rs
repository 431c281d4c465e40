//! From unit noise to images.

use crate::{Error, Result, Solver};
use diffusion_core::{Cond, Denoiser, Noise};
use tch::Tensor;

mod config;
mod edm;
mod multistep;
mod ode;
mod one_step;

pub use config::SamplerConfig;
pub use edm::EdmSampler;
pub use multistep::Multistep;
pub use ode::OdeSampler;
pub use one_step::OneStep;

/// What an observer of a sampler sees after every step.
#[derive(Debug)]
pub struct Step<'a> {
    /// The number of the step, from 0.
    pub index: usize,
    /// The noise level of `x`; 0 when it is an image.
    pub sigma: f64,
    /// The state after the step, in the precision of the sampler.
    pub x: &'a Tensor,
}

/// A way from unit noise to images by asking a denoiser.
///
/// # Shapes
/// `z`: `[B, …]`, **unit** normal (the sampler scales it to its own first level); returns the shape of `z`, `f32`, not
/// clamped unless the sampler says so. Samplers of several steps keep their state in `f64`.
///
/// # Gradient
/// Recorded like any formula; [`Sampling`](crate::Sampling) turns it off.
pub trait Sampler {
    /// Images for the latents `z`. `noise` serves stochastic samplers; `observer` is called after every step.
    fn sample(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        noise: &mut Noise,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor;

    /// Network evaluations for one image.
    fn nfe(&self) -> usize;
}

impl<S: Sampler + ?Sized> Sampler for Box<S> {
    fn sample(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        noise: &mut Noise,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        (**self).sample(d, z, cond, noise, observer)
    }

    fn nfe(&self) -> usize {
        (**self).nfe()
    }
}

impl<S: Sampler + ?Sized> Sampler for &S {
    fn sample(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        noise: &mut Noise,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        (**self).sample(d, z, cond, noise, observer)
    }

    fn nfe(&self) -> usize {
        (**self).nfe()
    }
}

/// More steps than anyone waits for; keeps a mistyped configuration from filling the memory.
const MAX_STEPS: usize = 1_000_000;

fn check_steps(steps: usize) -> Result<()> {
    if (1..=MAX_STEPS).contains(&steps) {
        Ok(())
    } else {
        Err(Error::Steps { steps, limit: MAX_STEPS })
    }
}

/// The level `sigma` for every image of `x`.
fn levels(sigma: f64, x: &Tensor) -> Tensor {
    Tensor::full([x.size()[0]], sigma, (x.kind(), x.device()))
}

/// The whole batch from one level to a lower one. To level 0 every solver gives the denoiser's answer, which costs one
/// evaluation.
fn advance(
    solver: &dyn Solver,
    d: &dyn Denoiser,
    x: &Tensor,
    [from, to]: [f64; 2],
    cond: &Cond,
) -> Tensor {
    if to == 0.0 {
        d.denoise(x, &levels(from, x), cond).to_kind(x.kind())
    } else {
        solver.step(d, x, &levels(from, x), &levels(to, x), cond)
    }
}

/// Pairs of neighboring levels, ending at 0.
fn pairs(sigmas: &[f64]) -> impl Iterator<Item = [f64; 2]> + '_ {
    let next = sigmas.iter().skip(1).copied().chain([0.0]);
    sigmas.iter().zip(next).map(|(&from, to)| [from, to])
}
