//! Which noise levels to visit when sampling.

mod karras;
mod spacing;
mod timesteps;

pub use karras::KarrasGrid;
pub use spacing::TimestepSpacing;
pub use timesteps::{Respacing, TimestepGrid};

/// A rule that places noise levels.
pub trait Grid {
    /// `steps` levels, noisiest first; the final 0 that a sampler ends at is not among them.
    fn sigmas(&self, steps: usize) -> Vec<f64>;
}
