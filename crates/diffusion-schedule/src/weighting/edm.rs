//! The weighting of EDM.

use super::Weighting;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// `(sigma² + sd²) / (sigma sd)²`: the reciprocal of `c_out²`, so that the network's own target counts equally at
/// every level.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Table 1; official code `training/loss.py`, `EDMLoss`.
///
/// # Example
/// ```
/// use diffusion_schedule::{EdmWeighting, Weighting};
/// let weight = EdmWeighting::default().weight(&tch::Tensor::from_slice(&[0.5]));
/// assert_eq!(weight.double_value(&[0]), 8.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdmWeighting {
    /// Standard deviation of the data.
    pub sigma_data: f64,
}

impl Default for EdmWeighting {
    fn default() -> Self {
        Self { sigma_data: 0.5 }
    }
}

impl Weighting for EdmWeighting {
    fn weight(&self, sigma: &Tensor) -> Tensor {
        let sigma = sigma.to_kind(Kind::Double);
        let sd = self.sigma_data;
        ((sigma.square() + sd * sd) / (sigma * sd).square()).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edm, Precondition};

    #[test]
    fn it_undoes_the_output_scale() {
        let sigma = Tensor::from_slice(&[0.002, 0.3, 80.0]);
        let c_out = Edm { sigma_data: 0.7 }.coefficients(&sigma).c_out;
        let product = EdmWeighting { sigma_data: 0.7 }.weight(&sigma) * c_out.square();
        assert!((product - 1.0).abs().max().double_value(&[]) < 1e-6);
    }
}
