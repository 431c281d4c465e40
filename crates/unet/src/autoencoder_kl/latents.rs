//! What an encoder says about latents.

use diffusion_core::Noise;
use tch::Tensor;

/// The smallest and largest logarithm of a variance.
const LOG_VARIANCE: [f64; 2] = [-30.0, 20.0];

/// A normal distribution for every number of a batch of latents.
///
/// # Shapes
/// Both `[B, latent_channels, h, w]`.
#[derive(Debug)]
pub struct LatentDistribution {
    /// Its mean, and its mode.
    pub mean: Tensor,
    /// The logarithm of its variance, in `[-30, 20]`.
    pub log_variance: Tensor,
}

impl LatentDistribution {
    /// `moments`: `[B, 2 · latent_channels, h, w]`, the means first.
    pub(super) fn new(moments: &Tensor) -> Self {
        let halves = moments.chunk(2, 1);
        let [lowest, highest] = LOG_VARIANCE;
        Self {
            mean: halves[0].contiguous(),
            log_variance: halves[1].clamp(lowest, highest).contiguous(),
        }
    }

    /// Draws latents: `mean + exp(log_variance / 2) · n`.
    ///
    /// # Gradient
    /// Into mean and variance; `n` is a constant.
    ///
    /// # Example
    /// ```
    /// use diffusion_core::Noise;
    /// use tch::{Device, Kind, Tensor};
    /// let at = |value| Tensor::full([1, 4, 50, 50], value, (Kind::Float, Device::Cpu));
    /// let latents = unet::LatentDistribution { mean: at(3.0), log_variance: at(0.01f64.ln()) };
    /// let deviation = latents.sample(&mut Noise::new(1)) - 3.0;
    /// assert!((deviation.std(true).double_value(&[]) - 0.1).abs() < 0.005);
    /// ```
    pub fn sample(&self, noise: &mut Noise) -> Tensor {
        let n = noise.normal(&self.mean.size()).to_device(self.mean.device());
        &self.mean + (&self.log_variance * 0.5).exp() * n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_are_limited() {
        let moments = Tensor::from_slice(&[1f32, 2.0, -31.0, 25.0]).view([1, 4, 1, 1]);
        let latents = LatentDistribution::new(&moments);
        let numbers = |t: &Tensor| Vec::<f32>::try_from(t.view(-1)).unwrap();
        assert_eq!(numbers(&latents.mean), [1.0, 2.0]);
        assert_eq!(numbers(&latents.log_variance), [-30.0, 20.0]);
    }
}
