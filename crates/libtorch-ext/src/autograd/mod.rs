//! Derivatives that [`tch`] does not offer.
//!
//! - [`vjp`] and [`grad`]: gradients with cotangents of one's own, or of a scalar, with respect to some inputs;
//! - [`jvp`]: a derivative in a direction, together with the value, in one forward pass;
//! - [`checkpoint`]: a function whose intermediate values are computed twice instead of being kept.

mod checkpoint;
mod jvp;
mod vjp;

pub use checkpoint::checkpoint;
pub use jvp::jvp;
pub use vjp::{GradOptions, grad, vjp};
