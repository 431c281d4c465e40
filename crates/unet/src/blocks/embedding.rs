//! The noise level as a vector.

use std::f64::consts::LN_10;
use tch::{Device, Kind, Tensor};

/// Sines and cosines of the noise argument at frequencies from 1 down to 1/10,000.
///
/// ```text
/// f_i = 10000^(-i / (n - 1)),  i = 0 … n-1,  n = channels / 2
/// embedding(c) = [sin(c f_0) … sin(c f_{n-1}), cos(c f_0) … cos(c f_{n-1})]
/// ```
///
/// The lowest frequency is reached exactly, and the sines come first: SongUNet differs from other U-Nets in both.
#[derive(Debug)]
pub(crate) struct PositionalEmbedding {
    freqs: Tensor,
}

impl PositionalEmbedding {
    /// `channels`: even and at least 4.
    pub(crate) fn new(channels: i64, device: Device) -> Self {
        let n = channels / 2;
        let exponent = |i| -(i as f64) / (n - 1) as f64;
        let freqs: Vec<f32> = (0..n).map(|i| (4.0 * LN_10 * exponent(i)).exp() as f32).collect();
        Self { freqs: Tensor::from_slice(&freqs).to_device(device) }
    }

    /// `[B]` to `[B, channels]`.
    pub(crate) fn forward(&self, c_noise: &Tensor) -> Tensor {
        let angles = c_noise.to_kind(Kind::Float).outer(&self.freqs);
        Tensor::cat(&[angles.sin(), angles.cos()], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_come_first_and_the_last_frequency_is_exact() {
        let embedding = PositionalEmbedding::new(6, Device::Cpu);
        let found = Vec::<f32>::try_from(embedding.forward(&Tensor::from_slice(&[2f32])).view(-1));
        let angles = [2.0f64, 0.02, 0.0002];
        let expected = angles.map(f64::sin).into_iter().chain(angles.map(f64::cos));
        for (found, expected) in found.unwrap().into_iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-7, "{found} {expected}");
        }
    }
}
