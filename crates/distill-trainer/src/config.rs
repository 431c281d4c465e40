//! The configuration of a run.

use crate::drift::differences;
use crate::{EmaConfig, Error, OptimizerConfig, Precision, Result};
use diffusion_core::strict::no_further_keys;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Device;

/// What happens when a loss or a gradient is NaN or infinite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNonFinite {
    /// End the run with an error that names the turn and the first bad tensor. On CUDA, where looking would stall the
    /// device, the bad turn moves nothing and the run ends at the next report or checkpoint.
    #[default]
    Error,
    /// Leave the turn's players as they are, count it in the log, say once a tick where it happened, and go on.
    SkipStep,
    /// Replace NaN by 0 and infinities by ±1e5 in the gradients, as the EDM family's code does, count it and go on.
    ZeroGrad,
}

/// How the learning rate changes over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decay {
    /// It does not.
    #[default]
    #[serde(deserialize_with = "no_further_keys")]
    Constant,
    /// Straight to 0 at the end of the run.
    #[serde(deserialize_with = "no_further_keys")]
    Linear,
    /// Along half a cosine to 0 at the end of the run.
    #[serde(deserialize_with = "no_further_keys")]
    Cosine,
    /// Multiplied by `factor` once the share `at` of the run is done.
    Step {
        /// Share of the run, in (0, 1).
        at: f64,
        /// What the rate is multiplied with.
        factor: f64,
    },
}

/// Settings of one player.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleConfig {
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Thousands of images over which the learning rate rises from 0.
    pub warmup_kimg: f64,
    /// How the learning rate falls.
    pub decay: Decay,
    /// The largest gradient norm; larger gradients are scaled down.
    pub clip_norm: Option<f64>,
    /// The average of the weights that evaluation and export use.
    pub ema: Option<EmaConfig>,
    /// Further averages that are tracked beside it, for export or to make others from them after the run.
    pub more_emas: Vec<EmaConfig>,
    /// The arithmetic of the turns that train this role; that of the run if there is none.
    pub precision: Option<Precision>,
    /// Parameters that never move, by official name: patterns such as `enc.*` (`*` any text, `?` any character, `[ab]`
    /// one of these, `{a,b}` one of those).
    pub freeze: Vec<String>,
}

impl RoleConfig {
    /// The learning rate after `images` of `total`.
    pub fn lr(&self, images: u64, total: u64) -> f64 {
        let images = images as f64;
        let warmup =
            if self.warmup_kimg > 0.0 { images / (self.warmup_kimg * 1000.0) } else { 1.0 };
        let done = images / (total as f64).max(1.0);
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => (1.0 - done).max(0.0),
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
            Decay::Step { at, factor } => {
                if done < at {
                    1.0
                } else {
                    factor
                }
            }
        };
        self.optimizer.lr * warmup.min(1.0) * decay
    }

    fn validate(&self, role: &str) -> Result<()> {
        let prefix = format!("roles.{role}");
        self.optimizer.validate(&format!("{prefix}.optimizer"))?;
        if let Some(ema) = &self.ema {
            ema.validate(&format!("{prefix}.ema"))?;
        }
        for (index, ema) in self.more_emas.iter().enumerate() {
            ema.validate(&format!("{prefix}.more_emas[{index}]"))?;
        }
        positive_or(&format!("{prefix}.warmup_kimg"), self.warmup_kimg, true)?;
        if let Decay::Step { at, factor } = self.decay {
            let field = format!("{prefix}.decay.at");
            positive_or(&field, at, false)?;
            if at >= 1.0 {
                return Err(Error::Config {
                    field,
                    value: at.to_string(),
                    expected: "must be below 1",
                });
            }
            positive_or(&format!("{prefix}.decay.factor"), factor, true)?;
        }
        self.clip_norm
            .map_or(Ok(()), |clip| positive_or(&format!("{prefix}.clip_norm"), clip, false))
    }
}

/// The configuration of a run. A role that `roles` does not name gets the defaults.
///
/// # Example
/// ```
/// let config: distill_trainer::TrainConfig = toml::from_str(r#"
///     batch = 64
///     kimg = 100.0
///     [roles.student]
///     optimizer = { algorithm = "radam", lr = 4e-4 }
/// "#).unwrap();
/// assert_eq!(config.total_images(), 100_000);
/// assert!(toml::from_str::<distill_trainer::TrainConfig>("bacth = 64").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Seed of everything random in the run.
    pub seed: u64,
    /// Images of one step.
    pub batch: usize,
    /// Length of the run in thousands of images.
    pub kimg: f64,
    /// Thousands of images between two reports.
    pub tick_kimg: f64,
    /// Thousands of images between two checkpoints.
    pub checkpoint_kimg: f64,
    /// Images of one backward pass; larger batches are split into parts whose gradients are added up, which takes less
    /// memory. `None` does not split.
    pub micro_batch: Option<usize>,
    /// The arithmetic of the networks.
    pub precision: Precision,
    /// On CUDA: record turns that can be recorded and launch each as a whole, which saves the time of launching its kernels
    /// one by one. Numbers do not change. Turns of a method that draws numbers on the host are computed as usual.
    pub cuda_graphs: bool,
    /// What happens on NaN.
    pub on_non_finite: OnNonFinite,
    /// Settings by role.
    pub roles: BTreeMap<String, RoleConfig>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            batch: 64,
            kimg: 64.0,
            tick_kimg: 3.2,
            checkpoint_kimg: 16.0,
            micro_batch: None,
            precision: Precision::Auto,
            cuda_graphs: false,
            on_non_finite: OnNonFinite::Error,
            roles: BTreeMap::new(),
        }
    }
}

impl TrainConfig {
    /// Images of the whole run.
    pub fn total_images(&self) -> u64 {
        (self.kimg * 1000.0).round() as u64
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that makes no sense.
    pub fn validate(&self) -> Result<()> {
        positive_or("batch", self.batch as f64, false)?;
        if let Some(images) = self.micro_batch {
            positive_or("micro_batch", images as f64, false)?;
        }
        positive_or("kimg", self.kimg, false)?;
        positive_or("tick_kimg", self.tick_kimg, false)?;
        positive_or("checkpoint_kimg", self.checkpoint_kimg, false)?;
        self.roles.iter().try_for_each(|(role, config)| config.validate(role))
    }

    /// The same configuration with every [`Precision::Auto`] decided for `device`.
    pub(crate) fn resolved(mut self, device: Device) -> Self {
        self.precision = self.precision.resolve(device);
        for role in self.roles.values_mut() {
            role.precision = role.precision.map(|precision| precision.resolve(device));
        }
        self
    }

    /// The fields in which a saved configuration differs, without those that may change on a resume (the length of
    /// the run, how often it reports, how turns are launched).
    pub fn drift(&self, saved: &Self) -> Vec<String> {
        let fixed = |config: &Self| {
            let mut fields = serde_json::to_value(config).unwrap_or_default();
            for free in ["kimg", "tick_kimg", "checkpoint_kimg", "cuda_graphs"] {
                fields.as_object_mut().and_then(|fields| fields.remove(free));
            }
            fields
        };
        differences("", &fixed(saved), &fixed(self))
    }
}

fn positive_or(field: &str, value: f64, zero_allowed: bool) -> Result<()> {
    if value.is_finite() && (value > 0.0 || (zero_allowed && value == 0.0)) {
        return Ok(());
    }
    let expected = if zero_allowed { "must not be negative" } else { "must be positive" };
    Err(Error::Config { field: field.into(), value: value.to_string(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let step = Decay::Step { at: 0.7, factor: 0.3 };
        let role = RoleConfig { warmup_kimg: 1.0, decay: step, ..RoleConfig::default() };
        let lr = |images| role.lr(images, 10_000) / 1e-3;
        assert_eq!([lr(0), lr(500), lr(1_000), lr(6_999), lr(7_000)], [0.0, 0.5, 1.0, 1.0, 0.3]);
        let linear = RoleConfig { decay: Decay::Linear, ..RoleConfig::default() };
        assert!((linear.lr(2_500, 10_000) - 0.75e-3).abs() < 1e-18);
        let cosine = RoleConfig { decay: Decay::Cosine, ..RoleConfig::default() };
        assert!((cosine.lr(5_000, 10_000) - 0.5e-3).abs() < 1e-18);
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
        let config = TrainConfig { batch: 0, ..TrainConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("`batch` = 0"));
        let config = TrainConfig { micro_batch: Some(0), ..TrainConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("`micro_batch` = 0"));
        let config = TrainConfig { kimg: f64::NAN, ..TrainConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("`kimg` = NaN"));
    }

    #[test]
    fn drift_names_the_fields_that_matter() {
        let saved = TrainConfig::default();
        let longer = TrainConfig { kimg: 1e6, ..saved.clone() };
        assert!(longer.drift(&saved).is_empty());
        let other = TrainConfig { batch: 7, ..saved.clone() };
        assert_eq!(other.drift(&saved), ["batch was 64, now 7"]);
        let with_lr = |lr| {
            let optimizer = OptimizerConfig::default().with_lr(lr);
            let role = RoleConfig { optimizer, ..RoleConfig::default() };
            TrainConfig { roles: BTreeMap::from([("student".into(), role)]), ..saved.clone() }
        };
        let drift = with_lr(0.5).drift(&with_lr(0.25));
        assert_eq!(drift, ["roles.student.optimizer.lr was 0.25, now 0.5"]);
    }
}
