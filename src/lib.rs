//! Distill a trained diffusion model into a generator that needs one to four steps.
//!
//! This crate holds no logic: it gathers the workspace's crates under one name, with a [`prelude`]. Take it whole, or
//! take a single crate: each stands alone.
//!
//! | module | what it is |
//! |---|---|
//! | [`diffusion_core`] | the nouns everyone shares: denoisers, conditions, noise, parameters |
//! | [`diffusion_schedule`] | noise levels and moving between them: grids, preconditionings, solvers, samplers |
//! | [`unet`] | networks with the official state-dict names |
//! | [`distill_losses`] | the formulas, and every distillation method |
//! | [`distill_trainer`] | the one trainer that runs them all |
//! | [`datasets`] | images as seeded, resumable batches |
//! | [`metrics`] | distances between image distributions, latency |
//! | [`backbones`] | frozen feature networks: Inception of the FID, VGG16, LPIPS, DINOv2 |
//! | [`weights`] | published files of weights, read without running anything in them |
//! | [`libtorch_ext`] | what `tch` lacks |
//!
//! # Example
//!
//! Sampling a closed-form denoiser with the 18-step EDM sampler:
//!
//! ```
//! use fewstep::prelude::*;
//!
//! /// The exact denoiser of a standard normal distribution.
//! struct Normal;
//! impl Denoiser for Normal {
//!     fn denoise(&self, x: &Tensor, sigma: &Tensor, _cond: &Cond) -> Tensor {
//!         x / (sigma.square() + 1.0).view([-1, 1, 1, 1])
//!     }
//! }
//!
//! let mut noise = Noise::new(0);
//! let z = noise.normal(&[256, 3, 4, 4]);
//! let images = Sampling::new(Normal, EdmSampler::default()).generate(&z, &Cond::none(), &mut noise);
//! assert!((images.std(false).double_value(&[]) - 1.0).abs() < 0.05);
//! ```
#![forbid(unsafe_code)]

pub use {
    backbones, datasets, diffusion_core, diffusion_schedule, distill_losses, distill_trainer,
    libtorch_ext, metrics, tch, unet, weights,
};

/// What most programs need, under short names.
pub mod prelude {
    pub use crate::diffusion_core::{
        Batch, BatchSource, Cond, Denoiser, Generator, Noise, Parameters, device,
    };
    pub use crate::diffusion_schedule::{
        EdmSampler, Network, OneStep, Preconditioned, Preconditioning, Sampler, SamplerConfig,
        Sampling,
    };
    pub use crate::distill_losses::{Distiller, Ingredients, METHODS, method};
    pub use crate::distill_trainer::{
        CheckpointFolder, DistillMethod, Interrupt, Outcome, RoleConfig, TrainConfig, Trainer,
        observer,
    };
    pub use crate::tch::{Device, Kind, Tensor};
    pub use crate::unet::{self, ModelConfig, SongUnetConfig};
}

/// The examples of the Markdown files in the root: documentation tests like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../CONTRIBUTING.md")]
struct MarkdownExamples;
