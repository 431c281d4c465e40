//! The file that diffusers keeps beside a network.

mod class;
mod json;
mod read;
mod settings;

pub use class::SchedulerClass;

use crate::{
    Discrete, DiscreteVp, Error, Precondition, Preconditioning, Prediction, Result, TimestepGrid,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use settings::Settings;

/// What a `scheduler_config.json` of diffusers says about a network and about the levels to sample it at.
///
/// Settings that the file leaves out have the scheduler's own defaults, which differ between schedulers. Settings that would
/// change numbers and are not supported are errors. What concerns the solver alone, such as its order, is kept in
/// [`SchedulerConfig::kept`], as is everything that the scheduler ignores; names that begin with `_` are the library's own.
///
/// Read and written by serde it is the file itself.
///
/// # Source
/// diffusers 0.42, `schedulers/`. Differs: tables are in `f64`; a level that the reference has at infinity is finite, see
/// [`DiscreteVp`].
///
/// # Example
/// ```
/// use diffusion_schedule::{Prediction, SchedulerConfig};
/// let text = r#"{"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
///     "beta_schedule": "scaled_linear", "steps_offset": 1, "skip_prk_steps": true}"#;
/// let scheduler = SchedulerConfig::from_json(text)?;
/// assert_eq!(scheduler.prediction(), Prediction::Epsilon);
/// assert_eq!(scheduler.grid().timesteps(4)?, [751.0, 501.0, 251.0, 1.0]);
/// # Ok::<(), diffusion_schedule::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct SchedulerConfig {
    class: SchedulerClass,
    grid: TimestepGrid,
    prediction: Prediction,
    clip_sample: Option<f64>,
    ends_at_zero: bool,
    file: Map<String, Value>,
}

impl SchedulerConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// - [`Error::SchedulerJson`] if it is not a JSON object (bare infinities and NaN are fine);
    /// - [`Error::SchedulerClass`] if `_class_name` is missing or not one of [`SchedulerClass`];
    /// - [`Error::SchedulerSetting`] for a setting that is not supported;
    /// - [`Error::NotPositive`] for a `clip_sample_range` that is not above 0;
    /// - those of [`DiscreteVp::validate`].
    pub fn from_json(text: &str) -> Result<Self> {
        json::object(text)?.try_into()
    }

    /// The scheduler that the file was written for.
    pub fn class(&self) -> SchedulerClass {
        self.class
    }

    /// The process that the network was trained with.
    pub fn process(&self) -> DiscreteVp {
        self.grid.process
    }

    /// What the network predicts.
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// What turns the network into a denoiser.
    ///
    /// `LCMScheduler` has boundary scalings beyond it, which are (0, 1) to 1e-5 from timestep 16 on.
    pub fn preconditioning(&self) -> Preconditioning {
        let (process, prediction) = (self.process(), self.prediction);
        Preconditioning::Discrete(Discrete { process, prediction, timestep: self.class.timestep() })
    }

    /// The levels that the scheduler's steps start from. Solvers with several evaluations a step (Heun, PNDM) repeat some, or
    /// visit others between them.
    pub fn grid(&self) -> TimestepGrid {
        self.grid
    }

    /// The bound to which the scheduler clamps the predicted image, if it does. The preconditioning does not clamp.
    pub fn clip_sample(&self) -> Option<f64> {
        self.clip_sample
    }

    /// The level that the last step leads to: 0, or the lowest of the process.
    pub fn final_sigma(&self) -> f64 {
        if self.ends_at_zero { 0.0 } else { self.preconditioning().sigma_range().0 }
    }

    /// The settings that nothing here depends on.
    pub fn kept(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.file.iter().map(|(field, value)| (field.as_str(), value)).filter(|(field, _)| {
            !(field.starts_with('_') || read::reads(field) && self.class.takes(field))
        })
    }
}

impl TryFrom<Map<String, Value>> for SchedulerConfig {
    type Error = Error;

    fn try_from(file: Map<String, Value>) -> Result<Self> {
        let class = file.get("_class_name").and_then(Value::as_str).unwrap_or_default();
        let settings = Settings { class: SchedulerClass::from_name(class)?, file: &file };
        read::refuse_unsupported(&settings)?;
        Ok(Self {
            class: settings.class,
            grid: read::grid(&settings)?,
            prediction: read::prediction(&settings)?,
            clip_sample: read::clip_sample(&settings)?,
            ends_at_zero: read::ends_at_zero(&settings)?,
            file,
        })
    }
}

impl From<SchedulerConfig> for Map<String, Value> {
    fn from(config: SchedulerConfig) -> Self {
        config.file
    }
}

#[cfg(test)]
mod tests;
