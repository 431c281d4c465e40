//! Updates of whole lists of tensors in a handful of kernels.
//!
//! An optimizer step over hundreds of parameters, one by one, is bound by the cost of launching its kernels. These
//! functions hand the whole list to libtorch at once. None of them records a graph, and none waits for the device: the
//! norm and the factor of gradient clipping stay tensors.
//!
//! Lists take handles: `shallow_clone` of a tensor is one, costs nothing, and updates the same memory.

mod adam;
mod clip;
mod gradients;
mod lerp;

pub use adam::{AdamStep, OnDevice, adam_step};
pub use clip::{global_norm, norms, scale_};
pub use gradients::{bind_grads, grads, zero_grads};
pub use lerp::lerp_;

use crate::{Error, Result};

/// Checks that a list has one entry per tensor that it belongs to.
fn check_length(
    operation: &'static str,
    list: &'static str,
    expected: usize,
    found: usize,
) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::LengthMismatch { operation, list, expected, found })
}
