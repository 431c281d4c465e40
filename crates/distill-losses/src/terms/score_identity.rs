//! The generator's loss of score identity distillation.

use diffusion_core::shape;
use libtorch_ext::autograd::{GradOptions, vjp};
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

/// The derivatives of [`score_identity_loss`] of each image by its three arguments, each `[B, C, H, W]`.
#[derive(Debug)]
pub struct ScoreIdentityCotangents {
    /// By the teacher's answer.
    pub real: Tensor,
    /// By the fake score's answer.
    pub fake: Tensor,
    /// By the generated image, where it enters directly.
    pub y: Tensor,
}

/// The derivatives of [`score_identity_loss`] in closed form.
///
/// ```text
/// d = real − fake,   e = real − y
/// ∂L/∂real = [(e − α d) + (1 − α) d] / w,   ∂L/∂fake = [α d − (e − α d)] / w,   ∂L/∂y = −d / w
/// ```
///
/// # Shapes
/// `real`, `fake`, `y` and the answers: `[B, C, H, W]`.
///
/// # Gradient
/// None.
///
/// # Panics
/// If shapes differ.
pub fn score_identity_cotangents(
    real: &Tensor,
    fake: &Tensor,
    y: &Tensor,
    alpha: f64,
) -> ScoreIdentityCotangents {
    shape::assert_same(["real", "fake"], real, fake);
    shape::assert_same(["real", "y"], real, y);
    let _guard = tch::no_grad_guard();
    let w = shape::per_image(&score_identity_weight(real, y), y);
    let d = real - fake;
    let rest = real - y - &d * alpha;
    ScoreIdentityCotangents {
        real: (&rest + &d * (1.0 - alpha)) / &w,
        fake: (&d * alpha - &rest) / &w,
        y: -(d / w),
    }
}

/// What [`sequential_score_identity_loss`] computes.
#[derive(Debug)]
pub struct SequentialScoreIdentity {
    /// The loss of each image, `[B]`, with a graph into `x` and `y`.
    pub loss: Tensor,
    /// The teacher's answer, without a graph.
    pub real: Tensor,
    /// The fake score's answer, without a graph.
    pub fake: Tensor,
}

/// [`score_identity_loss`] with the graph of one denoiser in memory at a time.
///
/// Each denoiser is differentiated as soon as it has answered: its answer's cotangent has a closed form
/// ([`score_identity_cotangents`]) that needs the other's answer only as a value. So the graphs of the two never exist
/// together, at the price of one more evaluation: `fake` is asked once without a graph and once with one. Both answers
/// must be the same, so it may not have active dropout.
///
/// # Shapes
/// `x`, the noisy images, and `y`, the generated ones: `[B, C, H, W]`. `real` and `fake` map `x` to such images.
///
/// # Gradient
/// Into `x`, through both denoisers, and into `y`, equal to that of [`score_identity_loss`] up to rounding; `w` is
/// detached. It is computed right away, and the answer's own graph only multiplies with it. Weights of the denoisers get
/// none. It cannot be differentiated again.
///
/// # Panics
/// If shapes differ.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use distill_losses::terms::sequential_score_identity_loss;
/// use tch::Kind;
/// let y = Noise::new(1).normal(&[2, 1, 4, 4]).set_requires_grad(true);
/// let x = &y + Noise::new(2).normal(&[2, 1, 4, 4]);
/// let found = sequential_score_identity_loss(&|x| x * 0.5, &|x| x * 0.25, &x, &y, 1.2);
/// found.loss.sum(Kind::Float).backward();
/// assert_eq!((found.loss.size(), y.grad().size()), (vec![2], y.size()));
/// ```
pub fn sequential_score_identity_loss(
    real: &dyn Fn(&Tensor) -> Tensor,
    fake: &dyn Fn(&Tensor) -> Tensor,
    x: &Tensor,
    y: &Tensor,
    alpha: f64,
) -> SequentialScoreIdentity {
    let leaf = x.detach().set_requires_grad(true);
    let fake_value = tch::no_grad(|| fake(&leaf));
    let answer = real(&leaf);
    let real_value = answer.detach();
    let by = score_identity_cotangents(&real_value, &fake_value, y, alpha);
    let by_x = pull_back(answer, &leaf, by.real) + pull_back(fake(&leaf), &leaf, by.fake);
    let value = tch::no_grad(|| score_identity_loss(&real_value, &fake_value, y, alpha));
    // Of value zero and with the right gradient.
    let slope = shape::sum_per_image(&(x * by_x + y * by.y));
    let loss = &slope - slope.detach() + value;
    SequentialScoreIdentity { loss, real: real_value, fake: fake_value }
}

/// The gradient of `answer · cotangent` by `x`; the graph of `answer` goes with it.
fn pull_back(answer: Tensor, x: &Tensor, cotangent: Tensor) -> Tensor {
    if !answer.requires_grad() {
        return x.zeros_like();
    }
    let gradients = vjp(&[answer], &[x.shallow_clone()], &[cotangent], GradOptions::default());
    let gradient = gradients.expect("the answer has a graph and the shape of x").pop().flatten();
    gradient.unwrap_or_else(|| x.zeros_like())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Kind;

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
        score_identity_loss(&real, &fake, &y, alpha).sum(Kind::Double).backward();
        let expected = score_identity_cotangents(&real, &fake, &y, alpha);
        for (tensor, expected) in [(real, expected.real), (fake, expected.fake), (y, expected.y)] {
            assert!(!expected.requires_grad());
            assert!((tensor.grad() - expected).abs().max().double_value(&[]) < 1e-12);
        }
    }

    /// Denoisers that mix the pixels, and a teacher that no gradient passes.
    #[test]
    fn one_after_the_other_gives_the_same_loss_and_gradient() {
        let [weight, n, start] = sample();
        let real = |x: &Tensor| (x * &weight).tanh() + x.flip([3]) * 0.3;
        let fake = |x: &Tensor| (x.roll([1], [2]) * 0.7).sin();
        let blind = |x: &Tensor| real(&x.detach());
        let teachers: [&dyn Fn(&Tensor) -> Tensor; 2] = [&real, &blind];
        for real in teachers {
            let run = |sequential: bool| {
                let y = start.detach().copy().set_requires_grad(true);
                let x = &y + &n;
                let loss = if sequential {
                    sequential_score_identity_loss(real, &fake, &x, &y, 1.2).loss
                } else {
                    score_identity_loss(&real(&x), &fake(&x), &y, 1.2)
                };
                (&loss * Tensor::from_slice(&[1.0, -3.0])).sum(Kind::Double).backward();
                (loss.detach(), y.grad())
            };
            let ((loss, grad), (expected_loss, expected_grad)) = (run(true), run(false));
            assert_eq!(loss, expected_loss);
            assert!((grad - expected_grad).abs().max().double_value(&[]) < 1e-12);
        }
    }

    #[test]
    fn equal_images_do_not_divide_by_zero() {
        let [real, fake, _] = sample();
        let loss = score_identity_loss(&real, &fake, &real, 1.2);
        assert_eq!(loss.isfinite().all().int64_value(&[]), 1);
    }
}
