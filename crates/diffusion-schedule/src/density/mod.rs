//! Which noise levels to train on.

use diffusion_core::Noise;
use tch::Tensor;

mod karras_uniform;
mod log_normal;

pub use karras_uniform::KarrasUniform;
pub use log_normal::LogNormal;

/// A distribution of noise levels, as a standard draw and a map from draws to levels.
///
/// The two halves are separate so that recorded draws can be replayed.
pub trait Density {
    /// `n` standard draws, `[n]`: normal or uniform in `[0, 1)`, whichever [`Density::sigma`] maps.
    fn draw(&self, n: i64, noise: &mut Noise) -> Tensor;

    /// The levels of those draws: any shape, computed in `f64`, returned as `f32`.
    fn sigma(&self, draw: &Tensor) -> Tensor;

    /// `n` levels, `[n]`.
    fn sample(&self, n: i64, noise: &mut Noise) -> Tensor {
        self.sigma(&self.draw(n, noise))
    }
}
