//! Levels at uniform positions of a Karras grid.

use super::Density;
use crate::KarrasGrid;
use diffusion_core::Noise;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Uniform positions in the lower part of a [`KarrasGrid`].
///
/// ```text
/// r = u t_max / 1000,   sigma = grid(1 - r),   u uniform in [0, 1)
/// ```
///
/// `r = 0` is the lowest level; the default `t_max = 800` leaves out everything above 24.4, where teachers say little.
///
/// # Source
/// Zhou et al. 2024 (SiD), arXiv:2404.04057; official code `training/sid_loss.py`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KarrasUniform {
    /// The grid.
    pub grid: KarrasGrid,
    /// How much of the grid is used, in thousandths, from the lowest level up.
    pub t_max: f64,
}

impl Default for KarrasUniform {
    fn default() -> Self {
        Self { grid: KarrasGrid::default(), t_max: 800.0 }
    }
}

impl Density for KarrasUniform {
    fn draw(&self, n: i64, noise: &mut Noise) -> Tensor {
        noise.uniform(&[n])
    }

    fn sigma(&self, draw: &Tensor) -> Tensor {
        let r = draw.to_kind(Kind::Double) * (self.t_max / 1000.0);
        self.grid.at_tensor(&(r.neg() + 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_those_of_the_paper() {
        let ends = KarrasUniform::default().sigma(&Tensor::from_slice(&[0.0, 1.0]));
        assert!((ends.double_value(&[0]) - 0.002).abs() < 1e-8);
        assert!((ends.double_value(&[1]) - 24.4083).abs() < 1e-4);
    }

    #[test]
    fn positions_are_uniform() {
        let density = KarrasUniform::default();
        let sigma = density.sample(20_000, &mut Noise::new(4));
        let below_the_middle = sigma.le(density.grid.at(0.6)).to_kind(Kind::Double);
        let share = below_the_middle.mean(Kind::Double).double_value(&[]);
        assert!((share - 0.5).abs() < 0.02, "{share}");
    }
}
