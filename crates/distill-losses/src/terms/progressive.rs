//! The target of progressive distillation in noise-level space.

use diffusion_core::{Cond, Denoiser, shape};
use diffusion_schedule::Solver;
use tch::Tensor;

/// The clean image that takes one step of the student to where two steps of the teacher end.
///
/// ```text
/// x_mid = step(x_t, t → mid),   x_end = step(x_mid, mid → end),   target = x_t − t (x_end − x_t) / (end − t)
/// ```
///
/// # Shapes
/// `x_t`: `[B, C, H, W]`; `t > mid > end`: `[B]`; returns `[B, C, H, W]`.
///
/// # Gradient
/// None.
///
/// # Source
/// Salimans & Ho 2022, arXiv:2202.00512, in the form of Song et al. 2023; official code `cm/karras_diffusion.py`.
pub fn progressive_target(
    teacher: &dyn Denoiser,
    solver: &dyn Solver,
    x_t: &Tensor,
    [t, mid, end]: [&Tensor; 3],
    cond: &Cond,
) -> Tensor {
    let _guard = tch::no_grad_guard();
    let x_mid = solver.step(teacher, x_t, t, mid, cond);
    let x_end = solver.step(teacher, &x_mid, mid, end, cond);
    let slope = (x_end - x_t) / shape::per_image(&(end - t), x_t);
    x_t - shape::per_image(t, x_t) * slope
}
