//! No weighting.

use super::Weighting;
use tch::{Kind, Tensor};

/// 1 at every level: the weighting of the published consistency models.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UniformWeighting;

impl Weighting for UniformWeighting {
    fn weight(&self, sigma: &Tensor) -> Tensor {
        sigma.ones_like().to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_counts_one() {
        let weight = UniformWeighting.weight(&Tensor::from_slice(&[0.002, 80.0]));
        assert_eq!(Vec::<f32>::try_from(weight).unwrap(), [1.0, 1.0]);
    }
}
