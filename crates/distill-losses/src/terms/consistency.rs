//! Consistency between two adjacent points of a trajectory.

use super::Distance;
use diffusion_core::{Cond, Denoiser, shape};
use diffusion_schedule::{KarrasGrid, Solver};
use tch::{Device, Tensor};

/// The levels at `indices` of a grid of `scales` levels, and their cleaner neighbors: `[t, r]`, each `[B]`, `f32`.
///
/// ```text
/// t = grid(i / (scales − 1)),   r = grid((i+1) / (scales − 1)),   i in 0..scales − 1
/// ```
///
/// # Source
/// Song et al. 2023, arXiv:2303.01469, algorithms 2 and 3; official code `cm/karras_diffusion.py`.
pub fn adjacent_levels(
    grid: &KarrasGrid,
    indices: &[u64],
    scales: u64,
    device: Device,
) -> [Tensor; 2] {
    let level = |offset: u64| {
        let position = |&i: &u64| (i + offset) as f64 / (scales - 1) as f64;
        let sigmas: Vec<f32> = indices.iter().map(|i| grid.at(position(i)) as f32).collect();
        Tensor::from_slice(&sigmas).to_device(device)
    };
    [level(0), level(1)]
}

/// Two points on one trajectory: a noisier one at `t` and a cleaner one at `r < t`.
#[derive(Debug)]
pub struct ConsistencyPair {
    /// The noisier image, `[B, C, H, W]`.
    pub x_t: Tensor,
    /// Its level, `[B]`.
    pub t: Tensor,
    /// The cleaner image, `[B, C, H, W]`.
    pub x_r: Tensor,
    /// Its level, `[B]`.
    pub r: Tensor,
}

impl ConsistencyPair {
    /// Consistency distillation: one solver step of the teacher leads from `t` to `r`.
    ///
    /// # Gradient
    /// None.
    pub fn by_teacher(
        teacher: &dyn Denoiser,
        solver: &dyn Solver,
        x0: &Tensor,
        n: &Tensor,
        [t, r]: [&Tensor; 2],
        cond: &Cond,
    ) -> Self {
        let _guard = tch::no_grad_guard();
        let x_t = x0 + shape::per_image(t, x0) * n;
        let x_r = solver.step(teacher, &x_t, t, r, cond);
        Self { x_t, t: t.shallow_clone(), x_r, r: r.shallow_clone() }
    }

    /// Consistency training: the same noise at both levels stands in for the teacher.
    pub fn by_data(x0: &Tensor, n: &Tensor, [t, r]: [&Tensor; 2]) -> Self {
        let x_t = x0 + shape::per_image(t, x0) * n;
        let x_r = x0 + shape::per_image(r, x0) * n;
        Self { x_t, t: t.shallow_clone(), x_r, r: r.shallow_clone() }
    }
}

/// Consistency loss: the student at the noisier point against the target at the cleaner one.
///
/// ```text
/// L = d( f(x_t, t), stopgrad f_target(x_r, r) )
/// ```
///
/// Multiply by the weighting `λ(t)` yourself; the published runs use 1.
///
/// # Shapes
/// Returns `[B]`.
///
/// # Gradient
/// Into the student only; the target runs without a graph.
///
/// # Source
/// Song et al. 2023, arXiv:2303.01469, eq. 7 and 10; official code `cm/karras_diffusion.py`.
pub fn consistency_loss(
    student: &dyn Denoiser,
    target: &dyn Denoiser,
    pair: &ConsistencyPair,
    cond: &Cond,
    distance: Distance,
) -> Tensor {
    let goal = {
        let _guard = tch::no_grad_guard();
        target.denoise(&pair.x_r, &pair.r, cond)
    };
    distance.per_image(&student.denoise(&pair.x_t, &pair.t, cond), &goal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_meet_and_end_at_the_ends_of_the_grid() {
        let grid = KarrasGrid::default();
        let [t, r] = adjacent_levels(&grid, &[0, 1, 2], 4, Device::Cpu);
        assert_eq!(t.narrow(0, 1, 2), r.narrow(0, 0, 2));
        assert_eq!(t.double_value(&[0]) as f32, 80.0);
        assert_eq!(r.double_value(&[2]) as f32, 0.002);
    }
}
