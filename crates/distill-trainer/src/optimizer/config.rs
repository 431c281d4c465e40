//! The settings of an optimizer.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Adam (Kingma & Ba 2015); weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW,
    /// Rectified Adam (Liu et al. 2020); what consistency models are trained with.
    RAdam,
}

/// An optimizer's settings; the defaults are PyTorch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The update rule.
    pub algorithm: Algorithm,
    /// The learning rate before any schedule.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether `RAdam`'s weight decay shrinks the weights directly; `AdamW`'s always does.
    pub decoupled_weight_decay: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Adam,
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
        }
    }
}

impl OptimizerConfig {
    /// These settings with another learning rate.
    #[must_use]
    pub fn with_lr(self, lr: f64) -> Self {
        Self { lr, ..self }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that makes no sense.
    pub fn validate(&self, prefix: &str) -> Result<()> {
        let check = |ok: bool, field: &str, value: f64, expected| {
            let field = format!("{prefix}.{field}");
            if ok {
                Ok(())
            } else {
                Err(Error::Config { field, value: value.to_string(), expected })
            }
        };
        check(self.lr.is_finite() && self.lr > 0.0, "lr", self.lr, "must be positive")?;
        for beta in self.betas {
            check((0.0..1.0).contains(&beta), "betas", beta, "must be in [0, 1)")?;
        }
        check(self.eps.is_finite() && self.eps > 0.0, "eps", self.eps, "must be positive")?;
        let decay = self.weight_decay;
        check(decay.is_finite() && decay >= 0.0, "weight_decay", decay, "must not be negative")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_name() {
        let error = OptimizerConfig::default().with_lr(-1.0).validate("roles.student.optimizer");
        assert!(error.unwrap_err().to_string().starts_with("`roles.student.optimizer.lr` = -1"));
    }
}
