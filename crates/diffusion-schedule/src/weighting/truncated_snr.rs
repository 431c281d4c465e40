//! Weighting by the signal-to-noise ratio, kept from vanishing.

use super::Weighting;
use tch::{Kind, Tensor};

/// `max(sigma⁻², 1)`: high levels keep a say, so that a one-step student learns from pure noise.
///
/// # Source
/// Salimans & Ho 2022, arXiv:2202.00512, section 4 ("truncated SNR").
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TruncatedSnr;

impl Weighting for TruncatedSnr {
    fn weight(&self, sigma: &Tensor) -> Tensor {
        let snr = sigma.to_kind(Kind::Double).square().reciprocal();
        snr.clamp_min(1.0).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_at_one() {
        let weight = TruncatedSnr.weight(&Tensor::from_slice(&[0.5, 1.0, 80.0]));
        assert_eq!(Vec::<f32>::try_from(weight).unwrap(), [4.0, 1.0, 1.0]);
    }
}
