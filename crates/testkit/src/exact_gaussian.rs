//! Data that is normal.

use diffusion_core::{Cond, Denoiser, shape};
use tch::Tensor;

/// The exact denoiser of independent `N(mean, std²)` values.
///
/// ```text
/// D(x; sigma) = (std² x + sigma² mean) / (std² + sigma²)
/// ```
///
/// # Shapes
/// `mean` and `std` broadcast against `x`, `[B, …]`; the result has the kind of `x`.
///
/// # Gradient
/// Flows into `x` and `sigma`.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Denoiser};
/// use tch::Tensor;
/// let data = testkit::ExactGaussian { mean: Tensor::from(3.0), std: Tensor::from(1.0) };
/// let x = Tensor::from_slice(&[5.0]).view([1, 1, 1, 1]);
/// let denoised = data.denoise(&x, &Tensor::from_slice(&[1.0]), &Cond::none());
/// assert_eq!(denoised.double_value(&[0, 0, 0, 0]), 4.0); // as far from the noisy value as from the mean
/// ```
#[derive(Debug)]
pub struct ExactGaussian {
    /// Mean of the data.
    pub mean: Tensor,
    /// Standard deviation of the data.
    pub std: Tensor,
}

impl ExactGaussian {
    /// The exact solution of the probability-flow equation from level `from` to level `to`.
    ///
    /// ```text
    /// mean + (x - mean) sqrt((std² + to²) / (std² + from²))
    /// ```
    pub fn flow(&self, x: &Tensor, from: f64, to: f64) -> Tensor {
        let [mean, variance] = self.moments(x);
        let ratio = (&variance + to * to) / (variance + from * from);
        &mean + (x - &mean) * ratio.sqrt()
    }

    /// Mean and variance in the kind and on the device of `x`.
    fn moments(&self, x: &Tensor) -> [Tensor; 2] {
        let [mean, std] =
            [&self.mean, &self.std].map(|t| t.to_kind(x.kind()).to_device(x.device()));
        [mean, std.square()]
    }
}

impl Denoiser for ExactGaussian {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, _cond: &Cond) -> Tensor {
        let [mean, variance] = self.moments(x);
        let noise = shape::per_image(&sigma.to_kind(x.kind()), x).square();
        (x * &variance + &noise * mean) / (variance + noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> ExactGaussian {
        ExactGaussian {
            mean: Tensor::from_slice(&[0.3, -1.0]),
            std: Tensor::from_slice(&[0.5, 2.0]),
        }
    }

    #[test]
    fn the_flow_solves_its_equation() {
        let (data, x, sigma, h) = (data(), Tensor::from_slice(&[1.5, 0.2]).view([1, 2]), 0.7, 1e-5);
        let slope = (data.flow(&x, sigma, sigma + h) - data.flow(&x, sigma, sigma - h)) / (2.0 * h);
        let denoised = data.denoise(&x, &Tensor::from_slice(&[sigma]), &Cond::none());
        assert!((slope - (&x - denoised) / sigma).abs().max().double_value(&[]) < 1e-8);
    }

    #[test]
    fn without_noise_it_is_the_identity_and_in_noise_the_mean() {
        let (data, x) = (data(), Tensor::from_slice(&[1.5, 0.2]).view([1, 2]));
        let at = |sigma: f64| data.denoise(&x, &Tensor::from_slice(&[sigma]), &Cond::none());
        assert_eq!(at(0.0), x);
        assert!((at(1e8) - &data.mean).abs().max().double_value(&[]) < 1e-12);
    }
}
