//! The noise level as a vector, at random frequencies.

use super::Order;
use crate::builder::Builder;
use std::f64::consts::TAU;
use tch::{Kind, Tensor};

/// Sines and cosines of the noise argument at frequencies that were drawn once.
///
/// ```text
/// embedding(c) = [sin(2π c f_0) … , cos(2π c f_0) …]      or the cosines first
/// f_i ~ N(0, scale²),  i = 0 … channels/2 - 1
/// ```
///
/// The frequencies are the buffer `freqs`: they follow from nothing and come with the weights.
#[derive(Debug)]
pub(crate) struct FourierEmbedding {
    freqs: Tensor,
    order: Order,
}

impl FourierEmbedding {
    /// `channels`: even.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: i64,
        order: Order,
        scale: f64,
    ) -> Self {
        let freqs = builder.normal_buffer(&format!("{name}.freqs"), &[channels / 2], scale);
        Self { freqs, order }
    }

    /// `[B]` to `[B, channels]`.
    pub(crate) fn forward(&self, c_noise: &Tensor) -> Tensor {
        let angles = c_noise.to_kind(Kind::Float).outer(&(&self.freqs * TAU));
        self.order.join(&angles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Device;

    #[test]
    fn loaded_frequencies_are_used() {
        for order in [Order::SinCos, Order::CosSin] {
            let mut builder = Builder::zeros(Device::Cpu);
            let embedding = FourierEmbedding::new(&mut builder, "map_noise", 4, order, 16.0);
            let freqs = Tensor::from_slice(&[0.125f32, -2.5]);
            builder.finish().parameters.load([("map_noise.freqs".into(), freqs)]).unwrap();
            let found = embedding.forward(&Tensor::from_slice(&[0.5f32]));
            let angles = [0.125, -2.5].map(|f| TAU * 0.5 * f);
            let (sines, cosines) = (angles.map(f64::sin), angles.map(f64::cos));
            let expected = match order {
                Order::SinCos => [sines, cosines],
                Order::CosSin => [cosines, sines],
            };
            for (i, expected) in expected.iter().flatten().enumerate() {
                assert!((found.double_value(&[0, i as i64]) - expected).abs() < 1e-6, "{order:?}");
            }
        }
    }

    #[test]
    fn frequencies_are_drawn_with_their_scale_and_not_trained() {
        let mut noise = Noise::new(1);
        let mut builder = Builder::drawn(&mut noise, Device::Cpu);
        let _ = FourierEmbedding::new(&mut builder, "map_noise", 20_000, Order::SinCos, 16.0);
        let parameters = builder.finish().parameters;
        let std = parameters.get("map_noise.freqs").unwrap().std(true).double_value(&[]);
        assert!((std / 16.0 - 1.0).abs() < 0.03, "{std}");
        assert_eq!(parameters.count(), 0);
    }
}
