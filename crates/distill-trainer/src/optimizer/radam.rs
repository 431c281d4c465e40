//! Rectified Adam, as `torch.optim.RAdam` computes it.

use super::{Moments, OptimizerConfig, UpdateRule};
use crate::Result;
use tch::Tensor;

/// Adam whose adaptive step is held back while the second moment is still too uncertain.
///
/// ```text
/// ρ∞ = 2/(1−β₂) − 1,   ρ = ρ∞ − 2kβ₂ᵏ/(1−β₂ᵏ)
/// ρ > 5:  p ← p − lr · m̂ · r · √(1−β₂ᵏ) / (√v + ε),   r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ))
/// else:   p ← p − lr · m̂
/// ```
///
/// `ε` is added to `√v` before the bias correction.
///
/// # Source
/// Liu et al. 2020, arXiv:1908.03265; `torch/optim/radam.py`.
#[derive(Debug)]
pub(super) struct RAdam {
    config: OptimizerConfig,
}

impl RAdam {
    pub(super) fn new(config: &OptimizerConfig) -> Self {
        Self { config: config.clone() }
    }

    /// The factor of `m / (√v + ε)`, or of `m` alone while there is no rectification.
    fn scale(&self, k: f64) -> (f64, bool) {
        let [beta1, beta2] = self.config.betas;
        let correction1 = 1.0 - beta1.powf(k);
        let correction2 = 1.0 - beta2.powf(k);
        let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        let rho = rho_inf - 2.0 * k * (1.0 - correction2) / correction2;
        if rho <= 5.0 {
            return (1.0 / correction1, false);
        }
        let rectify =
            ((rho - 4.0) * (rho - 2.0) * rho_inf) / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho);
        (rectify.sqrt() * correction2.sqrt() / correction1, true)
    }
}

impl UpdateRule for RAdam {
    fn update(&self, moments: &Moments, grads: &[Tensor], lr: f64) -> Result<()> {
        let OptimizerConfig { betas: [beta1, beta2], eps, weight_decay, .. } = self.config;
        for (i, grad) in grads.iter().enumerate() {
            let mut param = moments.params[i].shallow_clone();
            let mut exp_avg = moments.exp_avg[i].shallow_clone();
            let mut exp_avg_sq = moments.exp_avg_sq[i].shallow_clone();
            let mut step = moments.steps[i].shallow_clone();
            let _ = step.g_add_scalar_(1.0);
            let (scale, rectified) = self.scale(step.double_value(&[]));
            let mut grad = grad.shallow_clone();
            if weight_decay != 0.0 {
                if self.config.decoupled_weight_decay {
                    let _ = param.g_mul_scalar_(1.0 - lr * weight_decay);
                } else {
                    grad += &param * weight_decay;
                }
            }
            let _ = exp_avg.lerp_(&grad, 1.0 - beta1);
            let _ = exp_avg_sq.g_mul_scalar_(beta2).addcmul_(&(&grad * (1.0 - beta2)), &grad);
            let update: Tensor =
                if rectified { &exp_avg / (exp_avg_sq.sqrt() + eps) } else { exp_avg };
            param -= update * (lr * scale);
        }
        Ok(())
    }
}
