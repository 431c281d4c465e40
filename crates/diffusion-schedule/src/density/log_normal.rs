//! Levels whose logarithm is normal.

use super::Density;
use diffusion_core::Noise;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// `ln(sigma)` normal: trains most where images are half visible.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Table 1 (`P_mean`, `P_std`); official code `training/loss.py`, `EDMLoss`.
///
/// # Example
/// ```
/// use diffusion_schedule::{Density, LogNormal};
/// let sigma = LogNormal::default().sigma(&tch::Tensor::from_slice(&[0.0f32]));
/// assert!((sigma.double_value(&[0]) - (-1.2f64).exp()).abs() < 1e-7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogNormal {
    /// Mean of `ln(sigma)`.
    pub mean: f64,
    /// Standard deviation of `ln(sigma)`.
    pub std: f64,
}

impl Default for LogNormal {
    fn default() -> Self {
        Self { mean: -1.2, std: 1.2 }
    }
}

impl Density for LogNormal {
    fn draw(&self, n: i64, noise: &mut Noise) -> Tensor {
        noise.normal(&[n])
    }

    fn sigma(&self, draw: &Tensor) -> Tensor {
        (draw.to_kind(Kind::Double) * self.std + self.mean).exp().to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_have_the_moments() {
        let density = LogNormal { mean: -0.4, std: 1.1 };
        let log = density.sample(50_000, &mut Noise::new(1)).log();
        assert!((log.mean(Kind::Double).double_value(&[]) + 0.4).abs() < 0.02);
        assert!((log.std(true).double_value(&[]) - 1.1).abs() < 0.02);
    }
}
