//! The preconditioning of variance-exploding networks.

use super::{Coefficients, Precondition};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Preconditioning of score networks trained with the variance-exploding process, such as NCSN++.
///
/// ```text
/// c_skip = 1   c_out = sigma   c_in = 1   c_noise = ln(sigma / 2)
/// ```
///
/// The network answers with the noise of the opposite sign, `(x0 - x) / sigma`. At `sigma = 0` its noise argument is
/// infinite: denoise at levels above 0 only.
///
/// # Source
/// Song et al. 2021, arXiv:2011.13456; Karras et al. 2022, arXiv:2206.00364, Table 1; official code
/// `training/networks.py`, `VEPrecond`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ve {
    /// The lowest level that the network was made for.
    pub sigma_min: f64,
    /// The highest.
    pub sigma_max: f64,
}

impl Default for Ve {
    fn default() -> Self {
        Self { sigma_min: 0.02, sigma_max: 100.0 }
    }
}

impl Precondition for Ve {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        let sigma = sigma.to_kind(Kind::Double);
        Coefficients {
            c_skip: sigma.ones_like(),
            c_in: sigma.ones_like(),
            c_noise: (&sigma / 2.0).log(),
            c_out: sigma,
        }
        .to_float()
    }

    fn sigma_range(&self) -> (f64, f64) {
        (self.sigma_min, self.sigma_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_argument_is_the_logarithm_of_half_the_level() {
        let c = Ve::default().coefficients(&Tensor::from_slice(&[2.0, 100.0]));
        assert_eq!(c.c_noise.double_value(&[0]), 0.0);
        assert!((c.c_noise.double_value(&[1]) - 3.912_023).abs() < 1e-6); // ln 50
    }

    #[test]
    fn a_network_that_knows_the_noise_denoises_exactly() {
        let [x0, n] = [3.0, -0.7].map(|value| Tensor::from_slice(&[value]));
        let sigma = Tensor::from_slice(&[25.0]);
        let c = Ve::default().coefficients(&sigma);
        let x = &x0 + &sigma * &n;
        let denoised = &x * c.c_skip + n.neg() * c.c_out;
        assert!((denoised - x0).abs().double_value(&[0]) < 1e-12);
        assert_eq!((&x * c.c_in - &x).double_value(&[0]), 0.0);
    }

    #[test]
    fn the_range_is_that_of_the_official_networks() {
        assert_eq!(Ve::default().sigma_range(), (0.02, 100.0));
    }
}
