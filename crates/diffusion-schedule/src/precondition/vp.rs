//! The preconditioning of variance-preserving networks.

use super::{Coefficients, Precondition};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Preconditioning of noise-predicting networks trained with the continuous VP process.
///
/// ```text
/// c_skip = 1   c_out = -sigma   c_in = 1 / sqrt(sigma² + 1)   c_noise = (m - 1) t(sigma)
/// ```
///
/// # Source
/// Song et al. 2021, arXiv:2011.13456; Karras et al. 2022, arXiv:2206.00364, Table 1; official code
/// `training/networks.py`, `VPPrecond`. Differs: the lowest level is exact (0.0010004976), where the official `f32`
/// arithmetic cancels to 0.0009765625.
///
/// # Example
/// ```
/// let vp = diffusion_schedule::Vp::default();
/// assert!((vp.sigma_inv(vp.sigma(0.3)) - 0.3).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vp {
    /// Slope of the noise rate: `beta(t) = beta_min + beta_d t`.
    pub beta_d: f64,
    /// Noise rate at `t = 0`.
    pub beta_min: f64,
    /// Number of discrete steps the network's time argument counts.
    pub m: u32,
    /// The smallest time.
    pub epsilon_t: f64,
}

impl Default for Vp {
    fn default() -> Self {
        Self { beta_d: 19.9, beta_min: 0.1, m: 1000, epsilon_t: 1e-5 }
    }
}

impl Vp {
    /// The noise level at time `t` in `[0, 1]`: `sqrt(exp(beta_d t² / 2 + beta_min t) - 1)`.
    pub fn sigma(&self, t: f64) -> f64 {
        (0.5 * self.beta_d * t * t + self.beta_min * t).exp_m1().sqrt()
    }

    /// The time at which the noise level is `sigma`, exactly.
    pub fn sigma_inv(&self, sigma: f64) -> f64 {
        // The usual form (sqrt(b² + 2 d l) - b) / d cancels at low levels.
        let l = (sigma * sigma).ln_1p();
        2.0 * l / ((self.beta_min.powi(2) + 2.0 * self.beta_d * l).sqrt() + self.beta_min)
    }

    /// [`Vp::sigma_inv`] in the `f32` arithmetic of the official code. It cancels at low levels, by 1e-5 at 0.05, but
    /// these are the times that published networks were trained with.
    fn times(&self, sigma: &Tensor) -> Tensor {
        let l = (sigma.to_kind(Kind::Float).square() + 1.0).log();
        ((l * (2.0 * self.beta_d) + self.beta_min.powi(2)).sqrt() - self.beta_min) / self.beta_d
    }
}

impl Precondition for Vp {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        let sigma = sigma.to_kind(Kind::Double);
        Coefficients {
            c_skip: sigma.ones_like(),
            c_out: sigma.neg(),
            c_in: (sigma.square() + 1.0).rsqrt(),
            c_noise: self.times(&sigma) * (f64::from(self.m) - 1.0),
        }
        .to_float()
    }

    fn sigma_range(&self) -> (f64, f64) {
        (self.sigma(self.epsilon_t), self.sigma(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_levels_are_inverse() {
        let vp = Vp::default();
        for t in [1e-5, 1e-3, 0.1, 0.5, 1.0] {
            assert!((vp.sigma_inv(vp.sigma(t)) / t - 1.0).abs() < 1e-12, "t = {t}");
        }
    }

    #[test]
    fn the_range_is_exact() {
        let (low, high) = Vp::default().sigma_range();
        assert!((low - 0.001_000_497_6).abs() < 1e-10, "{low}");
        assert!((high - 152.167).abs() < 1e-3, "{high}");
    }

    #[test]
    fn the_noise_argument_counts_steps() {
        let vp = Vp::default();
        let c = vp.coefficients(&Tensor::from_slice(&[vp.sigma(0.25), vp.sigma(1.0)]));
        assert!((c.c_noise.double_value(&[0]) - 249.75).abs() < 1e-4);
        assert!((c.c_noise.double_value(&[1]) - 999.0).abs() < 1e-4);
        assert!((c.c_out.double_value(&[1]) + vp.sigma(1.0)).abs() < 1e-4);
        assert_eq!(c.c_skip.double_value(&[0]), 1.0);
    }

    #[test]
    fn the_noise_argument_has_the_official_rounding() {
        let c = Vp::default().coefficients(&Tensor::from_slice(&[0.05f32]));
        assert!((c.c_noise.double_value(&[0]) - 11.582_556).abs() < 2e-6); // exactly: 11.582384
    }
}
