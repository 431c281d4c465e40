//! The nouns every fewstep crate shares.
//!
//! Small on purpose, so that it changes rarely: a [`Denoiser`] turns a noisy image into a clean one, a [`Backbone`] is
//! the raw network inside it, a [`Generator`] turns noise into images, [`Cond`] is what they are conditioned on,
//! [`Noise`] is where every random number comes from, [`Parameters`] are a network's named tensors. Some networks can do
//! more: [`FeatureTaps`] shows features, [`AttentionTaps`] shows and replaces attention maps,
//! [`LogVar`] learns how uncertain it is, [`TwoTime`] knows where a step is to arrive.
//!
//! Conventions, everywhere in the workspace:
//!
//! - images are `[B, C, H, W]`, `f32`, in `[-1, 1]`; a noise level `sigma` is `[B]`, in the same unit;
//! - a noisy image is `x = x0 + sigma * n` with `n` standard normal;
//! - randomness is an argument: nothing draws from libtorch's process-wide generator.
#![forbid(unsafe_code)]

mod backbone;
mod batch;
mod capability;
mod cond;
mod denoiser;
pub mod device;
mod error;
mod flat_layout;
mod flat_parameters;
mod generator;
mod noise;
mod noise_tape;
pub mod npy;
mod parameters;
pub mod shape;
mod state;
pub mod strict;
pub mod tensor_file;

pub use backbone::Backbone;
pub use batch::{Batch, BatchSource};
pub use capability::{
    AttentionKind, AttentionMap, AttentionSite, AttentionTap, AttentionTaps, FeatureSite,
    FeatureTap, FeatureTaps, LogVar, Part, TwoTime,
};
pub use cond::Cond;
pub use denoiser::Denoiser;
pub use error::{Error, Result};
pub use flat_layout::{FlatLayout, Place};
pub use flat_parameters::FlatParameters;
pub use generator::Generator;
pub use noise::{Noise, NoiseState};
pub use noise_tape::NoiseTape;
pub use parameters::{Parameter, Parameters};
pub use state::State;
