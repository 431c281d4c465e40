//! Adam and `AdamW` through libtorch's fused kernels.

use super::{Moments, OptimizerConfig, UpdateRule};
use crate::Result;
use libtorch_ext::fused;
use tch::Tensor;

/// `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`, `p ← p − lr · m̂ / (√v̂ + ε)`.
#[derive(Debug)]
pub(super) struct Adam {
    config: OptimizerConfig,
    decoupled: bool,
}

impl Adam {
    pub(super) fn new(config: &OptimizerConfig, decoupled: bool) -> Self {
        Self { config: config.clone(), decoupled }
    }
}

impl UpdateRule for Adam {
    fn update(&self, moments: &Moments, grads: &[Tensor], lr: f64) -> Result<()> {
        let [beta1, beta2] = self.config.betas;
        let step = fused::AdamStep {
            lr,
            beta1,
            beta2,
            eps: self.config.eps,
            weight_decay: self.config.weight_decay,
            decoupled: self.decoupled,
        };
        let Moments { params, exp_avg, exp_avg_sq, steps } = moments;
        Ok(fused::adam_step(params, grads, exp_avg, exp_avg_sq, steps, &step)?)
    }
}
