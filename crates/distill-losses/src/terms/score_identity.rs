//! The generator's loss of score identity distillation.

use diffusion_core::shape;
use tch::Tensor;

/// The smallest weight that the loss is divided by.
const SMALLEST_WEIGHT: f64 = 1e-5;

/// Score identity generator loss.
///
/// Measures how far the generator's diffused distribution is from the data's by comparing two denoisers at the same
/// noisy image: the teacher (`real`) and a network trained on the generator's output (`fake`). Unlike the losses of
/// DMD and Diff-Instruct, the gradient goes **through** both networks.
///
/// ```text
/// L(y) = Σ_CHW (real − fake) · [(real − y) − α (real − fake)] / w,     w = max(mean_CHW |y − real|, 1e-5)
/// ```
///
/// # Shapes
/// `real`, `fake`: the denoised images at `y + σ n`, and `y`, the generated ones: `[B, C, H, W]`; returns `[B]`.
///
/// # Units
/// `alpha`: dimensionless; 1.2 in most published runs, 1.0 removes the squared norm of `real − fake`.
///
/// # Gradient
/// Into `y`, directly and through `real` and `fake`; `w` is detached.
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// Zhou et al. 2024, arXiv:2404.04057, eq. 23; official code `training/sid_loss.py`.
pub fn score_identity_loss(real: &Tensor, fake: &Tensor, y: &Tensor, alpha: f64) -> Tensor {
    shape::assert_same(["real", "fake"], real, fake);
    shape::assert_same(["real", "y"], real, y);
    let d = real - fake;
    let e = real - y;
    shape::sum_per_image(&(&d * (e - &d * alpha))) / score_identity_weight(real, y)
}

/// The detached weight `w = max(mean_CHW |y − real|, 1e-5)` of the loss, `[B]`.
pub fn score_identity_weight(real: &Tensor, y: &Tensor) -> Tensor {
    let _guard = tch::no_grad_guard();
    shape::mean_per_image(&(y - real).abs()).clamp_min(SMALLEST_WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    fn sample() -> [Tensor; 3] {
        let mut noise = Noise::new(2);
        [0, 1, 2].map(|_| noise.normal_f64(&[2, 3, 2, 2]))
    }

    /// With alpha = 1 the loss is `(real − fake) · (fake − y) / w`.
    #[test]
    fn alpha_one_is_the_projected_form() {
        let [real, fake, y] = sample();
        let expected = shape::sum_per_image(&((&real - &fake) * (&fake - &y)))
            / score_identity_weight(&real, &y);
        let error = (score_identity_loss(&real, &fake, &y, 1.0) - expected).abs().max();
        assert!(error.double_value(&[]) < 1e-12);
    }

    /// The closed forms of the three partial derivatives.
    #[test]
    fn gradient_by_closed_form() {
        let [real, fake, y] = sample().map(|t| t.set_requires_grad(true));
        let alpha = 1.2;
        score_identity_loss(&real, &fake, &y, alpha).sum(tch::Kind::Double).backward();
        let w = shape::per_image(&score_identity_weight(&real, &y), &y);
        let (d, e) = (&real - &fake, &real - &y);
        let g_real = ((&e - &d * alpha) + &d * (1.0 - alpha)) / &w;
        let g_fake = (&d * alpha - (&e - &d * alpha)) / &w;
        let g_y = -(&d / &w);
        for (tensor, expected) in [(real, g_real), (fake, g_fake), (y, g_y)] {
            assert!((tensor.grad() - expected).abs().max().double_value(&[]) < 1e-12);
        }
    }

    #[test]
    fn equal_images_do_not_divide_by_zero() {
        let [real, fake, _] = sample();
        let loss = score_identity_loss(&real, &fake, &real, 1.2);
        assert_eq!(loss.isfinite().all().int64_value(&[]), 1);
    }
}
