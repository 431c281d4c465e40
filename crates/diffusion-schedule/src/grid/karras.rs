//! Levels that are evenly spaced after a root.

use super::Grid;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Levels evenly spaced in `sigma^(1/rho)`: dense at low noise, where sampling errors cost most.
///
/// ```text
/// sigma(u) = (sigma_max^(1/rho) + u (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,   u = i / (steps - 1)
/// ```
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Eq. (5).
///
/// # Example
/// ```
/// use diffusion_schedule::{Grid, KarrasGrid};
/// let sigmas = KarrasGrid::default().sigmas(18);
/// assert!((sigmas[0] - 80.0).abs() < 1e-12 && (sigmas[17] - 0.002).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KarrasGrid {
    /// The lowest level.
    pub sigma_min: f64,
    /// The highest level.
    pub sigma_max: f64,
    /// The root; 1 spaces evenly, larger values move levels towards `sigma_min`.
    pub rho: f64,
}

impl Default for KarrasGrid {
    fn default() -> Self {
        Self { sigma_min: 0.002, sigma_max: 80.0, rho: 7.0 }
    }
}

impl KarrasGrid {
    /// The level at `u` in `[0, 1]`; `u = 0` is the noisiest.
    pub fn at(&self, u: f64) -> f64 {
        let (high, low) = self.roots();
        (high + u * (low - high)).powf(self.rho)
    }

    /// The levels at the positions `u`, of any shape and kind: computed in `f64`, returned as `f32`.
    ///
    /// # Gradient
    /// Flows into `u`.
    pub fn at_tensor(&self, u: &Tensor) -> Tensor {
        let (high, low) = self.roots();
        let root = u.to_kind(Kind::Double) * (low - high) + high;
        root.pow_tensor_scalar(self.rho).to_kind(Kind::Float)
    }

    /// Checks that the levels are usable.
    ///
    /// # Errors
    /// - [`Error::NotPositive`] for a level that is not finite and above 0;
    /// - [`Error::EmptyRange`] if `sigma_min` is not below `sigma_max`;
    /// - [`Error::Rho`] if `rho` is not in `[1, 100]`.
    pub fn validate(&self) -> Result<()> {
        Error::check_positive("sigma_min", self.sigma_min)?;
        Error::check_positive("sigma_max", self.sigma_max)?;
        let Self { sigma_min, sigma_max, rho } = *self;
        if sigma_min >= sigma_max {
            return Err(Error::EmptyRange { low: sigma_min, high: sigma_max });
        }
        if (1.0..=100.0).contains(&rho) { Ok(()) } else { Err(Error::Rho { rho }) }
    }

    /// The roots of the highest and the lowest level.
    fn roots(&self) -> (f64, f64) {
        (self.sigma_max.powf(self.rho.recip()), self.sigma_min.powf(self.rho.recip()))
    }
}

impl Grid for KarrasGrid {
    fn sigmas(&self, steps: usize) -> Vec<f64> {
        if steps == 1 {
            return vec![self.sigma_max];
        }
        (0..steps).map(|i| self.at(i as f64 / (steps - 1) as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_is_the_highest() {
        assert_eq!(KarrasGrid::default().sigmas(1), [80.0]);
        assert!(KarrasGrid::default().sigmas(0).is_empty());
    }

    #[test]
    fn rho_one_spaces_evenly() {
        let grid = KarrasGrid { sigma_min: 1.0, sigma_max: 3.0, rho: 1.0 };
        assert_eq!(grid.sigmas(5), [3.0, 2.5, 2.0, 1.5, 1.0]);
    }

    #[test]
    fn tensors_and_numbers_agree() {
        let grid = KarrasGrid::default();
        let levels = grid.at_tensor(&Tensor::from_slice(&[0.0, 0.3, 1.0]));
        for (i, u) in [0.0, 0.3, 1.0].into_iter().enumerate() {
            assert!((levels.double_value(&[i as i64]) / grid.at(u) - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let usual = KarrasGrid::default();
        assert!(usual.validate().is_ok());
        let reversed = KarrasGrid { sigma_min: 90.0, ..usual };
        assert!(matches!(reversed.validate(), Err(Error::EmptyRange { low: 90.0, high: 80.0 })));
        let zero = KarrasGrid { sigma_min: 0.0, ..usual };
        assert!(matches!(zero.validate(), Err(Error::NotPositive { name: "sigma_min", .. })));
        let nan = KarrasGrid { sigma_max: f64::NAN, ..usual };
        assert!(matches!(nan.validate(), Err(Error::NotPositive { name: "sigma_max", .. })));
        assert!(matches!(KarrasGrid { rho: 0.01, ..usual }.validate(), Err(Error::Rho { .. })));
    }
}
