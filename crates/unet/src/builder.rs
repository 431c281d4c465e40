//! A network's tensors while it is built.

use diffusion_core::{Noise, Parameters};
use tch::{Device, Kind, Tensor};

/// Registers a network's tensors in order and gives them their first values.
pub(crate) struct Builder<'n> {
    parameters: Parameters,
    noise: Option<&'n mut Noise>,
}

impl<'n> Builder<'n> {
    /// Weights are drawn from `noise`; without it they are zero and wait to be loaded or copied.
    pub(crate) fn new(device: Device, noise: Option<&'n mut Noise>) -> Self {
        Self { parameters: Parameters::new(device), noise }
    }

    /// A weight `[out, in, …]`: Xavier and Glorot's uniform distribution times `gain`.
    ///
    /// ```text
    /// U(-l, l),  l = gain · √(6 / (fan_in + fan_out))
    /// ```
    pub(crate) fn weight(&mut self, name: &str, shape: &[i64], gain: f64) -> Tensor {
        let kernel: i64 = shape[2..].iter().product();
        let limit = gain * (6.0 / ((shape[0] + shape[1]) * kernel) as f64).sqrt();
        let values = match &mut self.noise {
            Some(noise) => (noise.uniform(shape) * 2.0 - 1.0) * limit,
            None => Tensor::zeros(shape, (Kind::Float, self.parameters.device())),
        };
        self.parameters.trainable(name, if kernel > 1 { channels_last(&values) } else { values })
    }

    /// A bias or a normalization's scale, `[channels]`, constant at first.
    pub(crate) fn constant(&mut self, name: &str, channels: i64, value: f64) -> Tensor {
        let options = (Kind::Float, self.parameters.device());
        self.parameters.trainable(name, Tensor::full([channels], value, options))
    }

    /// A constant that belongs to the state dict.
    pub(crate) fn buffer(&mut self, name: &str, value: Tensor) {
        let _ = self.parameters.buffer(name, value);
    }

    /// The device the tensors live on.
    pub(crate) fn device(&self) -> Device {
        self.parameters.device()
    }

    /// How many trained tensors are registered.
    pub(crate) fn count(&self) -> usize {
        self.parameters.trained().count()
    }

    /// The trained tensors that were registered after the first `count`.
    pub(crate) fn trained_since(&self, count: usize) -> Vec<Tensor> {
        self.parameters.trained().skip(count).map(|entry| entry.tensor.shallow_clone()).collect()
    }

    /// Everything registered.
    pub(crate) fn finish(self) -> Parameters {
        self.parameters
    }
}

/// The same values with the channels beside each other in memory, as convolutions want them.
pub(crate) fn channels_last(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fill_their_uniform_range() {
        let mut noise = Noise::new(3);
        let mut builder = Builder::new(Device::Cpu, Some(&mut noise));
        let weight = builder.weight("w", &[40, 20, 3, 3], 0.5);
        let limit = 0.5 * (6.0f64 / (60.0 * 9.0)).sqrt();
        let std = weight.std(true).double_value(&[]);
        assert!((std / (limit / 3f64.sqrt()) - 1.0).abs() < 0.03, "{std}");
        let largest = weight.abs().max().double_value(&[]);
        assert!(largest <= limit * 1.000_001 && largest > 0.99 * limit, "{largest} of {limit}");
    }
}
