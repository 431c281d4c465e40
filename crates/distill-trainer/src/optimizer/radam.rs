//! Rectified Adam, as `torch.optim.RAdam` computes it.

use super::{Memory, OptimizerConfig, UpdateRule};
use crate::Result;
use libtorch_ext::fused::OnDevice;
use tch::{Kind, Tensor};

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

    /// The factor of `m / (√v + ε)`, or of `m` alone while there is no rectification, after `k` updates; and 1 or 0 for
    /// whether there is. Both are computed on the device, in `f64`, and returned in `f32`.
    fn scale(&self, k: &Tensor) -> (Tensor, Tensor) {
        let [beta1, beta2] = self.config.betas;
        let k = k.to_kind(Kind::Double);
        let correction = |beta: f64| -Tensor::pow_scalar(beta, &k) + 1.0;
        let (correction1, correction2) = (correction(beta1), correction(beta2));
        let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
        let rho: Tensor = -(&k * 2.0) * (-&correction2 + 1.0) / &correction2 + rho_inf;
        let rectified = rho.gt(5.0);
        let normal = rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0));
        let square: Tensor = (&rho - 4.0) * (&rho - 2.0) / &rho * normal * correction2;
        let scale = square.sqrt().where_self(&rectified, &k.ones_like()) / correction1;
        (scale.to_kind(Kind::Float), rectified.to_kind(Kind::Float))
    }

    /// One run of memory; `keep` is 1, or 0 if nothing may move.
    fn move_run(&self, run: Run<'_>, lr: f64, scale: &Tensor, rectified: &Tensor, keep: &Tensor) {
        let OptimizerConfig { betas: [beta1, beta2], eps, weight_decay, .. } = self.config;
        let [mut param, mut grad, mut exp_avg, mut exp_avg_sq] = run.map(Tensor::shallow_clone);
        if weight_decay != 0.0 {
            if self.config.decoupled_weight_decay {
                param *= -(keep * (lr * weight_decay)) + 1.0;
            } else {
                grad += &param * weight_decay;
            }
        }
        let (fresh1, fresh2) = (keep * (1.0 - beta1), keep * (1.0 - beta2));
        let _ = exp_avg.lerp_tensor_(&grad, &fresh1);
        exp_avg_sq *= -&fresh2 + 1.0;
        let _ = exp_avg_sq.addcmul_(&(&grad * fresh2), &grad);
        // √v + ε where the step is rectified, otherwise 1.
        let mut divisor = exp_avg_sq.sqrt();
        divisor *= rectified;
        divisor += rectified * eps + (-rectified + 1.0);
        let direction = exp_avg.divide_out(&divisor, &divisor);
        let _ = param.addcmul_(&direction, &(scale * keep * -lr));
    }
}

/// Weights, gradients, first and second moments.
type Run<'a> = [&'a Tensor; 4];

impl UpdateRule for RAdam {
    fn update(
        &self,
        memory: &Memory,
        grads: &[Tensor],
        lr: f64,
        on_device: OnDevice<'_>,
    ) -> Result<()> {
        let Memory { weights, exp_avg, exp_avg_sq, updates } = memory;
        let keep = on_device.skip.map_or_else(|| updates.ones_like(), |skip| -skip + 1.0);
        let _ = updates.shallow_clone().g_add_(&keep);
        let (scale, rectified) = self.scale(updates);
        for (i, grad) in grads.iter().enumerate() {
            let mut grad = grad.shallow_clone();
            if let Some(divisor) = on_device.divisor {
                let _ = grad.divide_(divisor);
            }
            if let Some(skip) = on_device.skip {
                // What is not finite would reach the moments even times 0.
                let _ = grad.masked_fill_(&skip.to_kind(Kind::Bool), 0.0);
            }
            let run = [&weights[i], &grad, &exp_avg[i], &exp_avg_sq[i]];
            self.move_run(run, lr, &scale, &rectified, &keep);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale before and after rectification sets in, against the formula in `f64`.
    #[test]
    fn the_scale_follows_its_formula() {
        let rule = RAdam::new(&OptimizerConfig::default());
        let at = |k: f64| {
            let (scale, rectified) = rule.scale(&Tensor::from(k as f32));
            (scale.double_value(&[]), rectified.double_value(&[]))
        };
        // ρ∞ = 1999 and ρ(k) = ρ∞ − 2k · 0.999ᵏ / (1 − 0.999ᵏ), which passes 5 between 5 and 6 updates.
        let (early, rectified) = at(5.0);
        assert!((early - 1.0 / (1.0 - 0.9f64.powi(5))).abs() < 1e-6 && rectified == 0.0);
        let (late, rectified) = at(100.0);
        let (c1, c2) = (1.0 - 0.9f64.powi(100), 1.0 - 0.999f64.powi(100));
        let rho = 1999.0 - 200.0 * (1.0 - c2) / c2;
        let r = ((rho - 4.0) * (rho - 2.0) * 1999.0 / (1995.0 * 1997.0 * rho)).sqrt();
        assert!((late - r * c2.sqrt() / c1).abs() < 1e-6 && rectified == 1.0, "{late}");
        assert_eq!([at(5.0).1, at(6.0).1], [0.0, 1.0]);
    }
}
