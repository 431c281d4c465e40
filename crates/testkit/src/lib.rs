//! What tests of every crate share: models with known answers and reference cases.
//!
//! - [`ExactGaussian`]: data that is normal, whose denoiser and probability flow are closed forms.
//! - [`GaussianData`]: batches of that data.
//! - [`StubBackbone`]: the small fixed network behind the reference values of losses.
//! - [`MlpBackbone`]: a small network that can be trained within seconds.
//! - [`GoldenCase`]: a file of reference values, with [`max_relative_error`] to compare against it.
//! - [`formula`]: weights and inputs that any language reproduces bit for bit from a tensor's name.
#![forbid(unsafe_code)]

mod case;
mod exact_gaussian;
pub mod formula;
mod gaussian_data;
mod mlp;
mod relative_error;
mod stub;

pub use case::{CaseError, GoldenCase};
pub use exact_gaussian::ExactGaussian;
pub use gaussian_data::GaussianData;
pub use mlp::{MlpBackbone, MlpConfig};
pub use relative_error::max_relative_error;
pub use stub::StubBackbone;
