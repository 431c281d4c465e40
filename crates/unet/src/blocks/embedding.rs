//! The noise level as a vector.

use std::f64::consts::LN_10;
use tch::{Device, Kind, Tensor};

/// Sines and cosines of the noise argument at frequencies from 1 down to about 1/10,000.
///
/// ```text
/// f_i = 10000^(-i / (n - shift)),  i = 0 … n-1,  n = channels / 2
/// embedding(c) = [sin(c f_0) … sin(c f_{n-1}), cos(c f_0) … cos(c f_{n-1})]      or the cosines first
/// ```
///
/// With a shift of 1 the lowest frequency is reached exactly.
#[derive(Debug)]
pub(crate) struct PositionalEmbedding {
    freqs: Tensor,
    order: Order,
}

/// Which half comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The sines: SongUNet, DDPM.
    SinCos,
    /// The cosines: ADM, guided-diffusion, Stable Diffusion.
    CosSin,
}

impl PositionalEmbedding {
    /// `channels`: even and more than twice `shift`.
    pub(crate) fn new(channels: i64, order: Order, shift: f64, device: Device) -> Self {
        let n = channels / 2;
        let exponent = |i| -(i as f64) / (n as f64 - shift);
        let freqs: Vec<f32> = (0..n).map(|i| (4.0 * LN_10 * exponent(i)).exp() as f32).collect();
        Self { freqs: Tensor::from_slice(&freqs).to_device(device), order }
    }

    /// With frequencies that somebody else has computed, `[channels / 2]`.
    pub(crate) fn with_frequencies(freqs: Tensor, order: Order) -> Self {
        Self { freqs, order }
    }

    /// `[B]` to `[B, channels]`.
    pub(crate) fn forward(&self, c_noise: &Tensor) -> Tensor {
        let angles = c_noise.to_kind(Kind::Float).outer(&self.freqs);
        self.order.join(&angles)
    }
}

impl Order {
    /// Sines and cosines of `[B, n]` as `[B, 2 n]`.
    pub(crate) fn join(self, angles: &Tensor) -> Tensor {
        let (sines, cosines) = (angles.sin(), angles.cos());
        match self {
            Self::SinCos => Tensor::cat(&[sines, cosines], 1),
            Self::CosSin => Tensor::cat(&[cosines, sines], 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(order: Order, shift: f64) -> Vec<f64> {
        let embedding = PositionalEmbedding::new(6, order, shift, Device::Cpu);
        let found = embedding.forward(&Tensor::from_slice(&[2f32])).to_kind(Kind::Double);
        Vec::try_from(found.view(-1)).unwrap()
    }

    fn assert_close(found: &[f64], expected: impl IntoIterator<Item = f64>) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn with_shift_1_the_last_frequency_is_exact() {
        let angles = [2.0f64, 0.02, 0.0002];
        let expected = angles.map(f64::sin).into_iter().chain(angles.map(f64::cos));
        assert_close(&embed(Order::SinCos, 1.0), expected);
    }

    #[test]
    fn without_shift_it_is_not_reached_and_cosines_may_come_first() {
        let angles = [0.0, 1.0, 2.0].map(|i| 2.0 * 10_000f64.powf(-i / 3.0));
        let expected = angles.map(f64::cos).into_iter().chain(angles.map(f64::sin));
        assert_close(&embed(Order::CosSin, 0.0), expected);
    }
}
