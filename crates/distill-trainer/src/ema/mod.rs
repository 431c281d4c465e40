//! Exponential moving averages of weights.

mod posthoc;
mod power;

pub use posthoc::{PowerProfile, posthoc_coefficients};
pub use power::PowerEma;

use crate::{Error, Progress, Result};
use diffusion_core::{Parameters, State};
use serde::{Deserialize, Serialize};
use tch::Tensor;

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

/// A moving average of one player's trained tensors.
#[derive(Debug)]
pub struct Ema {
    config: EmaConfig,
    names: Vec<String>,
    params: Vec<Tensor>,
    averages: Vec<Tensor>,
}

impl Ema {
    /// An average that starts at the present weights.
    pub fn new(config: EmaConfig, parameters: &Parameters) -> Self {
        let params: Vec<Tensor> = parameters.trained().map(|p| p.tensor.shallow_clone()).collect();
        let averages = params.iter().map(|p| p.detach().copy()).collect();
        let names = parameters.trained().map(|p| p.name.clone()).collect();
        Self { config, names, params, averages }
    }

    /// Takes in the present weights, after a step of `batch` images that began at `progress`.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn update(&mut self, progress: Progress, batch: usize) -> Result<()> {
        let decay = self.config.decay(progress.images, batch);
        Ok(libtorch_ext::fused::lerp_(&self.averages, &self.params, 1.0 - decay)?)
    }

    /// Starts anew from the present weights.
    pub fn reset(&mut self) {
        let _guard = tch::no_grad_guard();
        for (average, param) in self.averages.iter_mut().zip(&self.params) {
            average.copy_(param);
        }
    }

    /// Puts the average into the network; the weights come back when the guard is dropped.
    #[must_use = "the average is in the network as long as the guard lives"]
    pub fn applied(&self) -> AppliedEma<'_> {
        let weights = self.params.iter().map(|p| p.detach().copy()).collect();
        overwrite(&self.params, &self.averages);
        AppliedEma { ema: self, weights }
    }

    /// The averages to save, by parameter name.
    pub fn state(&self) -> State {
        let mut state = State::default();
        for (name, average) in self.names.iter().zip(&self.averages) {
            state.tensors.insert(name.clone(), average.copy());
        }
        state
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// If an entry is missing or has another shape.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        for (name, average) in self.names.iter().zip(&self.averages) {
            state.copy_into(name, average)?;
        }
        Ok(())
    }
}

/// A network that holds its average for a while; see [`Ema::applied`].
#[derive(Debug)]
pub struct AppliedEma<'a> {
    ema: &'a Ema,
    weights: Vec<Tensor>,
}

impl Drop for AppliedEma<'_> {
    fn drop(&mut self) {
        overwrite(&self.ema.params, &self.weights);
    }
}

fn overwrite(targets: &[Tensor], values: &[Tensor]) {
    let _guard = tch::no_grad_guard();
    for (target, value) in targets.iter().zip(values) {
        target.shallow_clone().copy_(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

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

    #[test]
    fn applying_is_undone_even_after_a_panic() {
        let mut params = Parameters::new(Device::Cpu);
        let mut w = params.trainable("w", Tensor::from(0f32));
        let mut ema = Ema::new(EmaConfig::Constant { decay: 0.75 }, &params);
        let _ = tch::no_grad(|| w.fill_(4.0));
        ema.update(Progress::default(), 1).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _average = ema.applied();
            assert_eq!(w.double_value(&[]), 4.0); // fails: the average is 1
        }));
        assert!(result.is_err());
        assert_eq!(w.double_value(&[]), 4.0);
    }
}
