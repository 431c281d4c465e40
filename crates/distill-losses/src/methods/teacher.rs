//! Training a diffusion model from data: every distillation's first step.

use super::{options, require};
use crate::terms::denoising_loss;
use crate::{Distiller, Ingredients, MethodInfo, Result, WithDropout};
use diffusion_core::{Batch, Generator, Noise};
use diffusion_schedule::{
    Density, EdmSampler, EdmWeighting, LogNormal, Network, Sampler, SamplerConfig, Sampling,
};
use distill_trainer::{
    Decay, DistillMethod, EmaConfig, Objective, OptimizerConfig, Player, Progress, Role,
    RoleConfig, Turn,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Kind;

const NAME: &str = "teacher";
const NETWORK: Role = Role("network");
const TURN: Turn = Turn::new("denoise", &[NETWORK]);

/// The row of the method table.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: NAME,
    title: "EDM teacher training",
    paper: "arXiv:2206.00364",
    players: &[NETWORK],
    needs_teacher: false,
    file: "teacher.rs",
    summary: "denoising at log-normally distributed levels",
    published,
    short_run,
    short_options: |_, _| toml::Table::new(),
    options: || toml::Table::try_from(TeacherTrainingConfig::default()).unwrap_or_default(),
    build: |ingredients, table| {
        Ok(Box::new(TeacherTraining::new(ingredients, options(NAME, table)?)?))
    },
};

/// Options of [`TeacherTraining`]; the defaults are EDM's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeacherTrainingConfig {
    /// Mean of `ln σ`.
    pub p_mean: f64,
    /// Standard deviation of `ln σ`.
    pub p_std: f64,
    /// Steps of the Heun sampler for pictures and for the saved model.
    pub sampler_steps: usize,
}

impl Default for TeacherTrainingConfig {
    fn default() -> Self {
        Self { p_mean: -1.2, p_std: 1.2, sampler_steps: 18 }
    }
}

/// EDM training of a denoiser.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, table 1; official code `training/loss.py`.
pub struct TeacherTraining {
    config: TeacherTrainingConfig,
    network: Network,
}

impl TeacherTraining {
    /// Trains a copy of the initial network.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn new(ingredients: &Ingredients<'_>, config: TeacherTrainingConfig) -> Result<Self> {
        let TeacherTrainingConfig { p_std, sampler_steps, .. } = config;
        require(p_std > 0.0, NAME, "p_std", p_std, "must be positive")?;
        require(sampler_steps > 0, NAME, "sampler_steps", sampler_steps, "must be positive")?;
        Ok(Self { config, network: ingredients.initial.twin() })
    }

    fn edm_sampler(&self) -> EdmSampler {
        EdmSampler { steps: self.config.sampler_steps, ..EdmSampler::default() }
    }
}

impl DistillMethod for TeacherTraining {
    fn name(&self) -> &'static str {
        NAME
    }

    fn options(&self) -> toml::Table {
        toml::Table::try_from(&self.config).unwrap_or_default()
    }

    fn players(&self) -> Vec<Player<'_>> {
        vec![Player { role: NETWORK, parameters: self.network.parameters() }]
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        vec![TURN]
    }

    fn objective(
        &self,
        _turn: &Turn,
        batch: &Batch,
        _progress: Progress,
        noise: &mut Noise,
    ) -> Objective {
        let density = LogNormal { mean: self.config.p_mean, std: self.config.p_std };
        let sigma = density.sample(batch.len(), noise);
        let n = noise.normal(&batch.images.size());
        let network = WithDropout::new(&self.network, noise.fork("dropout"));
        let weighting = EdmWeighting::default();
        let loss = denoising_loss(&network, &batch.images, &sigma, &n, &batch.cond, &weighting);
        Objective::new(loss.mean(Kind::Float))
    }

    fn recording_key(&self, _turn: &Turn, _progress: Progress) -> Option<u64> {
        Some(0)
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Sampling::new(&self.network, Box::new(self.edm_sampler()) as Box<dyn Sampler>))
    }
}

impl Distiller for TeacherTraining {
    fn network(&self) -> &Network {
        &self.network
    }

    fn sampler(&self) -> SamplerConfig {
        SamplerConfig::Edm(self.edm_sampler())
    }
}

/// EDM's settings for CIFAR-10.
fn published() -> BTreeMap<String, RoleConfig> {
    let network = RoleConfig {
        optimizer: OptimizerConfig::default().with_lr(1e-3),
        warmup_kimg: 10_000.0,
        ema: Some(EmaConfig::HalfLife { kimg: 500.0, ramp_up: Some(0.05) }),
        ..RoleConfig::default()
    };
    BTreeMap::from([(NETWORK.to_string(), network)])
}

/// Settings for runs of some 50 to 1,000 kimg.
fn short_run() -> BTreeMap<String, RoleConfig> {
    let network = RoleConfig {
        optimizer: OptimizerConfig::default().with_lr(1e-3),
        warmup_kimg: 6.4,
        decay: Decay::Step { at: 0.7, factor: 0.3 },
        ema: Some(EmaConfig::HalfLife { kimg: 10.0, ramp_up: Some(0.1) }),
        ..RoleConfig::default()
    };
    BTreeMap::from([(NETWORK.to_string(), network)])
}
