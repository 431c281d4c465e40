//! The preconditioning of consistency models.

use super::{Coefficients, Edm, Precondition};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// EDM preconditioning shifted so that the result is the input at the lowest level.
///
/// ```text
/// c_skip = sd² / ((sigma - sigma_min)² + sd²)          c_in    = 1 / sqrt(sigma² + sd²)
/// c_out  = (sigma - sigma_min) sd / sqrt(sigma² + sd²)  c_noise = ln(sigma) / 4
/// ```
///
/// `f(x; sigma_min) = x` holds exactly, whatever the network answers: the boundary condition of consistency models.
/// `c_in` and `c_noise` are those of [`Edm`], so that a student can start from a teacher's weights.
///
/// # Source
/// Song et al. 2023, arXiv:2303.01469, appendix C; official code `cm/karras_diffusion.py`. Differs: the noise
/// argument is `ln(sigma) / 4`; networks of the official PyTorch code take 1000 times that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boundary {
    /// Standard deviation of the data.
    pub sigma_data: f64,
    /// The level at which the result is the input.
    pub sigma_min: f64,
}

impl Default for Boundary {
    fn default() -> Self {
        Self { sigma_data: 0.5, sigma_min: 0.002 }
    }
}

impl Precondition for Boundary {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        // Levels that arrive as `f32` hold the rounded `sigma_min`: round here too, so that the difference is 0.
        let sigma_min = match sigma.kind() {
            Kind::Double => self.sigma_min,
            _ => f64::from(self.sigma_min as f32),
        };
        let Coefficients { c_in, c_noise, .. } =
            Edm { sigma_data: self.sigma_data }.coefficients(sigma);
        let sigma = sigma.to_kind(Kind::Double);
        let sd = self.sigma_data;
        let shifted = &sigma - sigma_min;
        Coefficients {
            c_skip: (shifted.square() + sd * sd).reciprocal() * (sd * sd),
            c_out: shifted * sd / (sigma.square() + sd * sd).sqrt(),
            c_in,
            c_noise,
        }
        .to_float()
    }

    fn sigma_range(&self) -> (f64, f64) {
        (self.sigma_min, f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_level_returns_the_input_exactly() {
        let boundary = Boundary::default();
        let double = Tensor::from_slice(&[0.002]);
        for sigma in [double.to_kind(Kind::Float), double] {
            let c = boundary.coefficients(&sigma);
            assert_eq!(c.c_skip.double_value(&[0]), 1.0);
            assert_eq!(c.c_out.double_value(&[0]), 0.0);
        }
    }

    #[test]
    fn without_a_shift_it_is_edm() {
        let sigma = Tensor::from_slice(&[0.01, 0.5, 80.0]);
        let shifted = Boundary { sigma_min: 0.0, ..Boundary::default() }.coefficients(&sigma);
        let edm = Edm::default().coefficients(&sigma);
        assert!(shifted.c_skip.allclose(&edm.c_skip, 1e-6, 0.0, false));
        assert!(shifted.c_out.allclose(&edm.c_out, 1e-6, 0.0, false));
        assert_eq!(shifted.c_in, edm.c_in);
        assert_eq!(shifted.c_noise, edm.c_noise);
    }

    #[test]
    fn the_scalings_are_those_of_the_released_consistency_models() {
        // at sigma = 1: 0.25 / (0.998² + 0.25), 0.998 · 0.5 / √1.25, 1 / √1.25; `c_in` knows no `sigma_min`
        let c = Boundary::default().coefficients(&Tensor::from_slice(&[1.0]));
        for (found, expected) in [
            (c.c_skip, 0.200_641_410_460_961_6),
            (c.c_out, 0.446_319_168_308_958),
            (c.c_in, 0.894_427_190_999_915_9),
            (c.c_noise, 0.0),
        ] {
            assert!((found.double_value(&[0]) - expected).abs() < 1e-7, "{found:?}");
        }
        // their time argument, 1000 · ln(sigma + 1e-44) / 4, is 1000 times `c_noise`
        let c = Boundary::default().coefficients(&Tensor::from_slice(&[80.0]));
        assert!((1000.0 * c.c_noise.double_value(&[0]) - 1_095.506_658_668_478).abs() < 1e-3);
    }
}
