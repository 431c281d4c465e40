//! How fast averages forget.

use crate::{Error, PowerEma, Result};
use serde::{Deserialize, Serialize};

/// How fast an average forgets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EmaConfig {
    /// The same `decay` at every step: `ema ← decay · ema + (1 − decay) · p`.
    Constant {
        /// Share of the old average that is kept.
        decay: f64,
    },
    /// A half-life in images, so that it survives a change of batch size.
    HalfLife {
        /// Half-life in thousands of images.
        kimg: f64,
        /// The half-life is at most this share of the images seen so far; `None` turns the ramp-up off.
        ramp_up: Option<f64>,
    },
    /// A memory that is a constant share of the run: see [`PowerEma`].
    Power {
        /// Relative standard deviation of the average's weight, in `(0, 1/√12]`; 0.05 to 0.1 is usual.
        std: f64,
    },
}

impl EmaConfig {
    /// The share of the old average that is kept in a step of `batch` images; `seen` images came before the step.
    ///
    /// For the half-life form `decay = 0.5^(batch / min(half_life, ramp_up · seen))`: at the start the average equals
    /// the weights. For the power-function form see [`PowerEma::decay`].
    ///
    /// # Panics
    /// If a power function's `std` is not in `(0, 1/√12]`; [`EmaConfig::validate`] finds that.
    ///
    /// # Source
    /// Karras et al. 2022, arXiv:2206.00364; official code `training/training_loop.py`.
    pub fn decay(&self, seen: u64, batch: usize) -> f64 {
        match *self {
            Self::Constant { decay } => decay,
            Self::HalfLife { kimg, ramp_up } => {
                let ramped = ramp_up.map_or(f64::INFINITY, |ramp| ramp * seen as f64);
                let half_life = (kimg * 1000.0).min(ramped);
                0.5_f64.powf(batch as f64 / half_life.max(1e-8))
            }
            Self::Power { std } => PowerEma::from_std(std).decay(seen, batch),
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field that makes no sense.
    pub fn validate(&self, prefix: &str) -> Result<()> {
        let fail = |field: &str, value: f64, expected| {
            let field = format!("{prefix}.{field}");
            Err(Error::Config { field, value: value.to_string(), expected })
        };
        match *self {
            Self::Constant { decay } if !(0.0..1.0).contains(&decay) => {
                fail("decay", decay, "must be in [0, 1)")
            }
            Self::HalfLife { kimg, .. } if !(kimg.is_finite() && kimg >= 0.0) => {
                fail("kimg", kimg, "must not be negative")
            }
            Self::HalfLife { ramp_up: Some(ramp), .. } if !(ramp.is_finite() && ramp > 0.0) => {
                fail("ramp_up", ramp, "must be positive")
            }
            Self::Power { std } if !(std > 0.0 && std <= PowerEma::LARGEST_STD) => {
                fail("std", std, "must be in (0, 1/√12 = 0.2886]")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_life_halves_and_ramps_up() {
        let fixed = EmaConfig::HalfLife { kimg: 2.0, ramp_up: None };
        let kept = (0..20).map(|_| fixed.decay(0, 100)).product::<f64>();
        assert!((kept - 0.5).abs() < 1e-12);
        let ramped = EmaConfig::HalfLife { kimg: 2.0, ramp_up: Some(0.05) };
        assert_eq!(ramped.decay(0, 100), 0.0);
        assert!((ramped.decay(2_000, 100) - 0.5).abs() < 1e-12); // half-life of 5 % of 2,000
        assert_eq!(ramped.decay(1_000_000, 100), fixed.decay(0, 100));
    }

    #[test]
    fn a_power_function_is_checked_and_used() {
        let config: EmaConfig = serde_json::from_str(r#"{"kind": "power", "std": 0.1}"#).unwrap();
        config.validate("ema").unwrap();
        assert_eq!(config.decay(300, 100), PowerEma::from_std(0.1).decay(300, 100));
        for std in [0.0, -0.1, 0.29, f64::NAN] {
            let error = EmaConfig::Power { std }.validate("roles.student.ema").unwrap_err();
            assert!(error.to_string().contains("`roles.student.ema.std`"), "{error}");
        }
    }
}
