//! The preconditioning of EDM.

use super::{Coefficients, Precondition};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// EDM preconditioning: network input and training target have unit variance at every level.
///
/// ```text
/// c_skip = sd² / (sigma² + sd²)            c_in    = 1 / sqrt(sigma² + sd²)
/// c_out  = sigma sd / sqrt(sigma² + sd²)   c_noise = ln(sigma) / 4
/// ```
///
/// At `sigma = 0` the noise argument is infinite: denoise at levels above 0 only.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Table 1; official code `training/networks.py`, `EDMPrecond`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edm {
    /// Standard deviation of the data.
    pub sigma_data: f64,
}

impl Default for Edm {
    fn default() -> Self {
        Self { sigma_data: 0.5 }
    }
}

impl Precondition for Edm {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        let sigma = sigma.to_kind(Kind::Double);
        let sd = self.sigma_data;
        let variance = sigma.square() + sd * sd;
        let c_in = variance.rsqrt();
        Coefficients {
            c_skip: variance.reciprocal() * (sd * sd),
            c_out: &sigma * sd * &c_in,
            c_in,
            c_noise: sigma.log() / 4.0,
        }
        .to_float()
    }

    fn sigma_range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_noise_passes_the_image_and_high_noise_the_network() {
        let c = Edm::default().coefficients(&Tensor::from_slice(&[1e-6, 1e6]));
        let row = |t: &Tensor| [t.double_value(&[0]), t.double_value(&[1])];
        let near = |[a, b]: [f64; 2], [x, y]: [f64; 2]| {
            assert!((a - x).abs() < 1e-6 && (b - y).abs() < 1e-6, "[{a}, {b}] is not [{x}, {y}]");
        };
        near(row(&c.c_skip), [1.0, 0.0]);
        near(row(&c.c_out), [0.0, 0.5]);
        near(row(&c.c_in), [2.0, 0.0]);
        near(row(&c.c_noise), [-3.453_877_6, 3.453_877_6]);
    }

    #[test]
    fn the_networks_input_has_unit_variance() {
        let sigma = Tensor::from_slice(&[0.002, 0.3, 80.0]);
        let c_in = Edm { sigma_data: 0.7 }.coefficients(&sigma).c_in;
        let variance = (sigma.square() + 0.49) * c_in.square();
        assert!((variance - 1.0).abs().max().double_value(&[]) < 1e-6);
    }
}
