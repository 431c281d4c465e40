//! Easy consistency tuning: from a diffusion model to a consistency model in stages.

use super::{options, require};
use crate::terms::{EasyMapping, easy_consistency_loss};
use crate::{Distiller, Ingredients, MethodInfo, Result, WithDropout};
use diffusion_core::{Batch, Generator, Noise};
use diffusion_schedule::{Density, LogNormal, Network, OneStep, SamplerConfig, Sampling};
use distill_trainer::{
    Algorithm, Decay, DistillMethod, EmaConfig, Objective, OptimizerConfig, Player, Progress, Role,
    RoleConfig, Turn,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Kind;

const NAME: &str = "ect";
const STUDENT: Role = Role("student");
const TURN: Turn = Turn::new("consistency", &[STUDENT]);
/// The largest level: where sampling starts.
const SIGMA_MAX: f64 = 80.0;

/// The row of the method table.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: NAME,
    title: "Easy consistency tuning (ECT)",
    paper: "arXiv:2406.14548",
    players: &[STUDENT],
    needs_teacher: false,
    file: "easy_consistency.rs",
    summary: "tunes a diffusion model on data; the two levels of a pair draw together in stages",
    published,
    short_run,
    short_options: |kimg, _| toml::Table::from_iter([("stage_kimg".into(), (kimg / 8.0).into())]),
    options: || toml::Table::try_from(EasyConsistencyConfig::default()).unwrap_or_default(),
    build: |ingredients, table| {
        Ok(Box::new(EasyConsistency::new(ingredients, options(NAME, table)?)?))
    },
};

/// Options of [`EasyConsistency`]; the defaults are the published ones for CIFAR-10.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EasyConsistencyConfig {
    /// Mean of `ln t`.
    pub p_mean: f64,
    /// Standard deviation of `ln t`.
    pub p_std: f64,
    /// How far the target's level is below `t`.
    pub mapping: EasyMapping,
    /// The constant of the Pseudo-Huber distance.
    pub c: f64,
    /// Thousands of images of a stage, after which the levels draw together.
    pub stage_kimg: f64,
}

impl Default for EasyConsistencyConfig {
    fn default() -> Self {
        Self {
            p_mean: -1.1,
            p_std: 2.0,
            mapping: EasyMapping::default(),
            c: 0.0,
            stage_kimg: 3_200.0,
        }
    }
}

/// Easy consistency tuning of a network that starts as a diffusion model.
///
/// Student and target are the same weights with the same dropout masks; the target's pass has no gradient.
///
/// # Source
/// Geng et al. 2024, arXiv:2406.14548; official code `training/loss.py`, `training/ct_training_loop.py`. Differs:
/// the preconditioning is EDM's in evaluation too.
pub struct EasyConsistency {
    config: EasyConsistencyConfig,
    student: Network,
}

impl EasyConsistency {
    /// Tunes a copy of the initial network.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn new(ingredients: &Ingredients<'_>, config: EasyConsistencyConfig) -> Result<Self> {
        let EasyConsistencyConfig { p_std, c, stage_kimg, mapping, .. } = &config;
        require(*p_std > 0.0, NAME, "p_std", p_std, "must be positive")?;
        require(*c >= 0.0, NAME, "c", c, "must not be negative")?;
        require(*stage_kimg > 0.0, NAME, "stage_kimg", stage_kimg, "must be positive")?;
        require(mapping.q > 1.0, NAME, "mapping.q", mapping.q, "must be greater than 1")?;
        Ok(Self { config, student: ingredients.initial.twin() })
    }

    fn stage(&self, progress: Progress) -> u32 {
        (progress.kimg() / self.config.stage_kimg) as u32
    }
}

impl DistillMethod for EasyConsistency {
    fn name(&self) -> &'static str {
        NAME
    }

    fn options(&self) -> toml::Table {
        toml::Table::try_from(&self.config).unwrap_or_default()
    }

    fn players(&self) -> Vec<Player<'_>> {
        vec![Player { role: STUDENT, parameters: self.student.parameters() }]
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        vec![TURN]
    }

    fn objective(
        &self,
        _turn: &Turn,
        batch: &Batch,
        progress: Progress,
        noise: &mut Noise,
    ) -> Objective {
        let EasyConsistencyConfig { p_mean, p_std, mapping, c, .. } = &self.config;
        let t = LogNormal { mean: *p_mean, std: *p_std }.sample(batch.len(), noise);
        let r = mapping.r(&t, self.stage(progress));
        let n = noise.normal(&batch.images.size());
        let masks = noise.fork("dropout");
        let student = WithDropout::new(&self.student, masks.clone());
        let target = WithDropout::new(&self.student, masks);
        let levels = [&t, &r];
        let loss =
            easy_consistency_loss(&student, &target, &batch.images, &n, levels, &batch.cond, *c);
        Objective::new(loss.mean(Kind::Float))
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Sampling::new(&self.student, OneStep { sigma: SIGMA_MAX }))
    }
}

impl Distiller for EasyConsistency {
    fn network(&self) -> &Network {
        &self.student
    }

    fn sampler(&self) -> SamplerConfig {
        SamplerConfig::OneStep(OneStep { sigma: SIGMA_MAX })
    }
}

/// The published settings for CIFAR-10.
fn published() -> BTreeMap<String, RoleConfig> {
    let optimizer =
        OptimizerConfig { algorithm: Algorithm::RAdam, lr: 1e-4, ..OptimizerConfig::default() };
    let ema = Some(EmaConfig::Constant { decay: 0.9999 });
    BTreeMap::from([(STUDENT.to_string(), RoleConfig { optimizer, ema, ..RoleConfig::default() })])
}

/// Settings for runs of some 50 to 1,000 kimg.
fn short_run() -> BTreeMap<String, RoleConfig> {
    let mut roles = published();
    for role in roles.values_mut() {
        role.optimizer.lr = 4e-4;
        role.decay = Decay::Cosine;
        role.ema = Some(EmaConfig::HalfLife { kimg: 10.0, ramp_up: Some(0.1) });
    }
    roles
}
