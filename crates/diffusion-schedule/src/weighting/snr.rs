//! Weighting by the signal-to-noise ratio.

use super::Weighting;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// `sigma⁻² + plus`: with `plus = 0` the loss on the noise, with 1 the loss on the velocity, with `1 / sigma_data²`
/// EDM's weighting.
///
/// # Source
/// Salimans & Ho 2022, arXiv:2202.00512, section 4; official code of consistency models `cm/karras_diffusion.py`
/// (`snr`, `snr+1`, `karras`).
///
/// # Example
/// ```
/// use diffusion_schedule::{SnrWeighting, Weighting};
/// let weight = SnrWeighting { plus: 1.0 }.weight(&tch::Tensor::from_slice(&[0.5]));
/// assert_eq!(weight.double_value(&[0]), 5.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnrWeighting {
    /// What is added to the signal-to-noise ratio.
    pub plus: f64,
}

impl Weighting for SnrWeighting {
    fn weight(&self, sigma: &Tensor) -> Tensor {
        let snr = sigma.to_kind(Kind::Double).square().reciprocal();
        (snr + self.plus).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EdmWeighting;

    #[test]
    fn plus_four_is_edm() {
        let sigma = Tensor::from_slice(&[0.002, 0.5, 80.0]);
        let snr = SnrWeighting { plus: 4.0 }.weight(&sigma);
        assert!(snr.allclose(&EdmWeighting::default().weight(&sigma), 1e-6, 0.0, false));
    }
}
