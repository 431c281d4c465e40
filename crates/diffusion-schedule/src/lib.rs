//! Noise levels of diffusion models, and moving between them.
//!
//! A diffusion model answers one question: what is the clean image behind `x = x0 + sigma n`? Everything else is a
//! choice of levels `sigma`, and each choice is a small type of its own here, so that they combine freely:
//!
//! - *What wraps the network?* A [`Precondition`] gives the four coefficients of [`Preconditioned`], which turns a raw
//!   [`Backbone`](diffusion_core::Backbone) into a [`Denoiser`](diffusion_core::Denoiser): [`Edm`] for teachers,
//!   [`Boundary`] for consistency models, [`Vp`], [`Ve`] and [`IDdpm`] for score networks as EDM wraps them, [`Discrete`] for
//!   networks that take a timestep. *What does such a network predict, of which process?* A [`Prediction`] and a
//!   [`DiscreteVp`]; [`SchedulerConfig`] reads both from the file that diffusers keeps beside a network.
//! - *Which levels does training see?* A [`Density`]: [`LogNormal`] for denoisers, [`KarrasUniform`] for score
//!   distillation. *How much does each count?* A [`Weighting`].
//! - *Which levels does sampling visit?* A [`Grid`]: [`KarrasGrid`], [`TimestepGrid`].
//! - *How does an image get from one level to the next?* A [`Solver`]: [`Euler`], [`Heun`]. Levels are per image, so a
//!   loss takes solver steps as a sampler does.
//! - *How does unit noise become an image?* A [`Sampler`]: [`EdmSampler`], [`OdeSampler`], [`OneStep`], [`Multistep`],
//!   or by name [`SamplerConfig`]. [`Sampling`] ties one to a denoiser.
//!
//! Numbers: levels and tables are computed in `f64` and cast once; samplers keep their state in `f64`; networks see
//! `f32`. No function here waits for the device.
//!
//! # Example
//!
//! Images whose pixels are normal with mean 0.3 and standard deviation 0.5 have an exact denoiser, so the sampler must
//! give that distribution back:
//!
//! ```
//! use diffusion_core::{Cond, Denoiser, Generator, Noise, shape::per_image};
//! use diffusion_schedule::{EdmSampler, Sampling};
//! use tch::{Kind, Tensor};
//!
//! struct Exact;
//! impl Denoiser for Exact {
//!     fn denoise(&self, x: &Tensor, sigma: &Tensor, _cond: &Cond) -> Tensor {
//!         let noise = per_image(sigma, x).square();
//!         (x * 0.25 + &noise * 0.3) / (&noise + 0.25)
//!     }
//! }
//!
//! let generator = Sampling::new(Exact, EdmSampler { steps: 64, ..EdmSampler::default() });
//! let mut noise = Noise::new(1);
//! let z = noise.normal(&[1000, 1, 4, 4]);
//! let images = generator.generate(&z, &Cond::none(), &mut noise);
//! assert!((images.mean(Kind::Float).double_value(&[]) - 0.3).abs() < 0.01);
//! assert!((images.std(true).double_value(&[]) - 0.5).abs() < 0.01);
//! assert_eq!(generator.nfe(), 127);
//! ```
#![forbid(unsafe_code)]

mod density;
mod error;
mod grid;
mod precondition;
mod preconditioned;
mod prediction;
mod process;
mod sampler;
mod sampling;
mod scheduler_config;
mod solver;
mod weighting;

pub use density::{Density, KarrasUniform, LogNormal};
pub use error::{Error, Result};
pub use grid::{Grid, KarrasGrid, Respacing, TimestepGrid, TimestepSpacing};
pub use precondition::{
    Boundary, Coefficients, Discrete, Edm, IDdpm, Precondition, Preconditioning, TimestepRule, Ve,
    Vp,
};
pub use preconditioned::{Network, Preconditioned};
pub use prediction::Prediction;
pub use process::{BetaSchedule, DiscreteVp, zero_terminal_snr};
pub use sampler::{EdmSampler, Multistep, OdeSampler, OneStep, Sampler, SamplerConfig, Step};
pub use sampling::Sampling;
pub use scheduler_config::{SchedulerClass, SchedulerConfig};
pub use solver::{Euler, Heun, Solver};
pub use weighting::{EdmWeighting, SnrWeighting, TruncatedSnr, UniformWeighting, Weighting};
