//! Which noise levels to visit when sampling.

mod karras;

pub use karras::KarrasGrid;

/// A rule that places noise levels.
pub trait Grid {
    /// `steps` levels, noisiest first; the final 0 that a sampler ends at is not among them.
    fn sigmas(&self, steps: usize) -> Vec<f64>;
}
