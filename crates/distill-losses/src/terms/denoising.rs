//! Denoising score matching: what teachers and fake scores minimize.

use diffusion_core::{Cond, Denoiser, shape};
use diffusion_schedule::Weighting;
use tch::Tensor;

/// Weighted denoising error.
///
/// ```text
/// L(x0) = w(σ) · Σ_CHW (D(x0 + σ n; σ) − x0)²
/// ```
///
/// A **sum** over channels and pixels: with the EDM weighting and preconditioning every level then contributes about
/// `C·H·W` at initialization.
///
/// # Shapes
/// `x0`, `n`: `[B, C, H, W]`; `sigma`: `[B]`; returns `[B]`.
///
/// # Gradient
/// Into the denoiser's parameters, and into `x0` if it has a graph.
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, eq. 8; official code `training/loss.py`.
pub fn denoising_loss(
    denoiser: &dyn Denoiser,
    x0: &Tensor,
    sigma: &Tensor,
    n: &Tensor,
    cond: &Cond,
    weighting: &dyn Weighting,
) -> Tensor {
    shape::assert_same(["x0", "n"], x0, n);
    let x = x0 + shape::per_image(sigma, x0) * n;
    let denoised = denoiser.denoise(&x, sigma, cond);
    weighting.weight(sigma) * shape::sum_per_image(&(denoised - x0).square())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use diffusion_schedule::EdmWeighting;

    /// A denoiser that answers with its input.
    struct Identity;

    impl Denoiser for Identity {
        fn denoise(&self, x: &Tensor, _sigma: &Tensor, _cond: &Cond) -> Tensor {
            x.shallow_clone()
        }
    }

    #[test]
    fn a_denoiser_that_does_nothing_pays_for_the_noise() {
        let mut noise = Noise::new(1);
        let (x0, n) = (noise.normal(&[2, 3, 4, 4]), noise.normal(&[2, 3, 4, 4]));
        let sigma = Tensor::from_slice(&[0.5f32, 2.0]);
        let loss =
            denoising_loss(&Identity, &x0, &sigma, &n, &Cond::none(), &EdmWeighting::default());
        let n2 = shape::sum_per_image(&n.square());
        for (i, s) in [0.5f64, 2.0].into_iter().enumerate() {
            let weight = (s * s + 0.25) / (0.5 * s).powi(2);
            let expected = weight * s * s * n2.double_value(&[i as i64]);
            assert!((loss.double_value(&[i as i64]) / expected - 1.0).abs() < 1e-5);
        }
    }
}
