//! Easy consistency tuning: consistency training with a continuous, tightening pair of levels.

use diffusion_core::{Cond, Denoiser, shape};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How far below `t` the target's level `r` lies.
///
/// ```text
/// r = max(0, t (1 − a(t) / q^(stage+1))),     a(t) = 1 + k · sigmoid(−b t)   (or 1, when `constant`)
/// ```
///
/// # Source
/// Geng et al. 2024, arXiv:2406.14548; official code `training/loss.py`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EasyMapping {
    /// Base of the geometric tightening.
    pub q: f64,
    /// Height of the adjustment at small `t`.
    pub k: f64,
    /// Steepness of the adjustment.
    pub b: f64,
    /// Whether the adjustment is left out.
    pub constant: bool,
}

impl Default for EasyMapping {
    fn default() -> Self {
        Self { q: 2.0, k: 8.0, b: 1.0, constant: false }
    }
}

impl EasyMapping {
    /// The target's level for each `t`, at a stage counted from 0; `[B]` to `[B]`.
    pub fn r(&self, t: &Tensor, stage: u32) -> Tensor {
        let t64 = t.to_kind(Kind::Double);
        let adjust =
            if self.constant { t64.ones_like() } else { (&t64 * -self.b).sigmoid() * self.k + 1.0 };
        let ratio = -(adjust / self.q.powi(stage as i32 + 1)) + 1.0;
        (t64 * ratio).clamp_min(0.0).to_kind(t.kind())
    }
}

/// Easy consistency loss.
///
/// ```text
/// L = (√(Σ_CHW (D(x0 + t n; t) − D_r)² + c²) − c) / (t − r),   D_r = stopgrad D(x0 + r n; r), or x0 where r = 0
/// ```
///
/// # Shapes
/// `x0`, `n`: `[B, C, H, W]`; `t`, `r`: `[B]`; returns `[B]`.
///
/// # Gradient
/// Into `student` only. Pass the same network twice with shared dropout masks: `student` and `target` are separate
/// arguments for that reason alone.
///
/// # Source
/// Geng et al. 2024, arXiv:2406.14548; official code `training/loss.py`.
pub fn easy_consistency_loss(
    student: &dyn Denoiser,
    target: &dyn Denoiser,
    x0: &Tensor,
    n: &Tensor,
    [t, r]: [&Tensor; 2],
    cond: &Cond,
    c: f64,
) -> Tensor {
    let denoised = student.denoise(&(x0 + shape::per_image(t, x0) * n), t, cond);
    let goal = {
        let _guard = tch::no_grad_guard();
        // The level 0 has no logarithm: the network sees a tiny one and its answer is replaced by x0.
        let level = r.clamp_min(1e-8);
        let cleaner = target.denoise(&(x0 + shape::per_image(r, x0) * n), &level, cond);
        let at_zero = shape::per_image(r, x0).le(0.0);
        x0.to_kind(cleaner.kind()).where_self(&at_zero, &cleaner)
    };
    let squared = shape::sum_per_image(&(denoised - goal).square());
    ((squared + c * c).sqrt() - c) / (t - r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_tightens_with_the_stage() {
        let t = Tensor::from_slice(&[0.1f32, 1.0, 10.0]);
        let mapping = EasyMapping::default();
        let gap = |stage| -> Vec<f32> { (&t - mapping.r(&t, stage)).try_into().unwrap() };
        assert_eq!(gap(0)[0], 0.1); // a/q > 1: r is 0
        let (early, late) = (gap(2), gap(8));
        assert!(early.iter().zip(&late).all(|(early, late)| late < early && *late > 0.0));
    }
}
