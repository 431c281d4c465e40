//! Networks that know how uncertain they are.

use crate::Backbone;
use tch::Tensor;

/// A network that also learns how large its error is at each noise level, so that a loss can weigh levels by it.
///
/// ```text
/// loss = ‖error‖² / exp(u) + u,  u = log_var(c_noise)
/// ```
///
/// is smallest where `exp(u)` is the mean squared error, and then every level contributes equally to the gradient.
///
/// # Source
/// Karras et al. 2024, arXiv:2312.02696, appendix B.3, Eq. (21).
pub trait LogVar: Backbone {
    /// `c_noise`: `[B]`; returns `[B]`.
    ///
    /// # Gradient
    /// Into the parameters of the head alone.
    fn log_var(&self, c_noise: &Tensor) -> Tensor;
}
