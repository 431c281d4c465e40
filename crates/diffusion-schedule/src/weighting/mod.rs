//! How much each noise level counts in a loss.

use tch::Tensor;

mod edm;
mod snr;
mod truncated_snr;
mod uniform;

pub use edm::EdmWeighting;
pub use snr::SnrWeighting;
pub use truncated_snr::TruncatedSnr;
pub use uniform::UniformWeighting;

/// A weight for every noise level, for losses on the clean image `x0`.
pub trait Weighting {
    /// The weights at the levels `sigma`, `[B]`: computed in `f64`, returned as `f32`, `[B]`.
    fn weight(&self, sigma: &Tensor) -> Tensor;
}
