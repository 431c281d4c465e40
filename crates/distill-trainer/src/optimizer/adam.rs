//! Adam and `AdamW` through libtorch's fused kernels.

use super::{Memory, OptimizerConfig, UpdateRule};
use crate::Result;
use libtorch_ext::fused::{self, AdamStep, OnDevice};
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
    fn update(
        &self,
        memory: &Memory,
        grads: &[Tensor],
        lr: f64,
        on_device: OnDevice<'_>,
    ) -> Result<()> {
        let [beta1, beta2] = self.config.betas;
        let step = AdamStep {
            lr,
            beta1,
            beta2,
            eps: self.config.eps,
            weight_decay: self.config.weight_decay,
            decoupled: self.decoupled,
        };
        let Memory { weights, exp_avg, exp_avg_sq, updates } = memory;
        Ok(fused::adam_step(weights, grads, exp_avg, exp_avg_sq, updates, &step, on_device)?)
    }
}
