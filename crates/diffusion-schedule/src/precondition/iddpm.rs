//! The preconditioning of improved DDPM networks.

use super::{Coefficients, Precondition, table_for};
use crate::Result;
use crate::process::{bounded_steps, check_steps};
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;
use tch::{Kind, Tensor};

/// Preconditioning of noise-predicting networks trained with a discrete cosine schedule.
///
/// Such a network knows `m` levels only, the table `u` (highest first, with a final 0); a level is given to it as the
/// number of the nearest entry.
///
/// ```text
/// c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma² + 1)   c_noise = m - 1 - argmin |sigma - u|
///
/// u_m = 0,  u_(j-1) = sqrt((u_j² + 1) / max(a_(j-1) / a_j, c_1) - 1),  a_j = sin²(π/2 · j/m / (1 + c_2))
/// ```
///
/// # Source
/// Nichol & Dhariwal 2021, arXiv:2102.09672; Karras et al. 2022, arXiv:2206.00364, Table 1; official code
/// `training/networks.py`, `iDDPMPrecond`. Differs: the table is computed in `f64`; the official `f32` recurrence is
/// off by up to 5e-4 (relative) at low levels.
///
/// # Example
/// ```
/// let (index, sigma) = diffusion_schedule::IDdpm::default().round(1e9);
/// assert_eq!(index, 0);
/// assert!((sigma / 20291.0 - 1.0).abs() < 1e-3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IDdpm {
    /// The number of levels; 1 to 100,000.
    #[serde(deserialize_with = "bounded_steps")]
    pub m: usize,
    /// The limit of the step between neighbors.
    pub c_1: f64,
    /// The shift of the cosine.
    pub c_2: f64,
}

impl Default for IDdpm {
    fn default() -> Self {
        Self { m: 1000, c_1: 0.001, c_2: 0.008 }
    }
}

impl IDdpm {
    /// The table of `m` levels; `c_1` limits the step between neighbors, `c_2` shifts the cosine.
    ///
    /// # Panics
    /// If `m` is 0.
    pub fn new(m: usize, c_1: f64, c_2: f64) -> Self {
        assert!(m > 0, "a table of noise levels needs at least 1 level");
        Self { m, c_1, c_2 }
    }

    /// Checks that the table can be computed.
    ///
    /// # Errors
    /// [`Error::ProcessSteps`](crate::Error::ProcessSteps) for a number of levels outside of 1 to 100,000.
    pub fn validate(&self) -> Result<()> {
        check_steps(self.m, 1)
    }

    /// The levels, highest first, and a final 0: `m + 1` values.
    pub fn u(&self) -> Vec<f64> {
        let Self { m, c_1, c_2 } = *self;
        let a = |j: usize| (FRAC_PI_2 * j as f64 / m as f64 / (1.0 + c_2)).sin().powi(2);
        let mut u = vec![0.0; m + 1];
        for j in (1..=m).rev() {
            let ratio = (a(j - 1) / a(j)).max(c_1);
            u[j - 1] = ((u[j] * u[j] + 1.0) / ratio - 1.0).sqrt();
        }
        u
    }

    /// The nearest level and its index in [`IDdpm::u`].
    pub fn round(&self, sigma: f64) -> (usize, f64) {
        let nearest = |a: &(usize, f64), b: &(usize, f64)| {
            (sigma - a.1).abs().total_cmp(&(sigma - b.1).abs())
        };
        self.u().into_iter().enumerate().min_by(nearest).expect("the table is not empty")
    }
}

impl Precondition for IDdpm {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        let sigma = sigma.to_kind(Kind::Double);
        let u = table_for(&sigma, &self.u());
        let index = (sigma.unsqueeze(-1) - u).abs().argmin(-1, false).to_kind(Kind::Double);
        Coefficients {
            c_skip: sigma.ones_like(),
            c_out: sigma.neg(),
            c_in: (sigma.square() + 1.0).rsqrt(),
            c_noise: index.neg() + (self.m as f64 - 1.0),
        }
        .to_float()
    }

    fn sigma_range(&self) -> (f64, f64) {
        let u = self.u();
        (u[self.m - 1], u[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_that_of_the_cosine_schedule() {
        let (low, high) = IDdpm::default().sigma_range();
        assert!((low - 0.006_42).abs() < 1e-5, "{low}");
        assert!((high - 20291.0).abs() < 1.0, "{high}");
    }

    #[test]
    fn every_level_rounds_to_itself() {
        let iddpm = IDdpm::default();
        for (index, &sigma) in iddpm.u().iter().enumerate() {
            assert_eq!(iddpm.round(sigma), (index, sigma));
        }
    }

    #[test]
    fn the_noise_argument_is_the_step_number() {
        let iddpm = IDdpm::default();
        let u = iddpm.u();
        let sigma = Tensor::from_slice(&[u[0], u[999] * 1.01, u[600]]);
        let c_noise = Vec::<f32>::try_from(iddpm.coefficients(&sigma).c_noise).unwrap();
        assert_eq!(c_noise, [999.0, 0.0, 399.0]);
    }

    #[test]
    fn tables_that_no_memory_holds_are_refused() {
        assert_eq!(toml::from_str::<IDdpm>("m = 1000").unwrap(), IDdpm::default());
        assert!(toml::from_str::<IDdpm>("m = 0").is_err());
        assert!(toml::from_str::<IDdpm>("m = 4000000000").is_err());
    }
}
