//! Consistency models: distillation from a teacher, or training from data alone.

use super::{options, require};
use crate::terms::{
    ConsistencyPair, Curriculum, Distance, Scales, TargetEma, adjacent_levels, consistency_loss,
};
use crate::{Distiller, Ingredients, MethodInfo, Result, WithDropout};
use diffusion_core::{Batch, Denoiser, Generator, Noise, State};
use diffusion_schedule::{
    Boundary, Heun, KarrasGrid, Network, OneStep, Preconditioning, SamplerConfig, Sampling,
    SnrWeighting, TruncatedSnr, UniformWeighting, Weighting,
};
use distill_trainer::{
    Algorithm, Decay, DistillMethod, EmaConfig, Objective, OptimizerConfig, Player, Progress, Role,
    RoleConfig, Turn, settings,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Kind, Tensor};

const DISTILLATION: &str = "cd";
const TRAINING: &str = "ct";
const STUDENT: Role = Role("student");
const TURN: Turn = Turn::new("consistency", &[STUDENT]);

/// The row of the method table for consistency distillation.
pub(crate) const DISTILLATION_INFO: MethodInfo = MethodInfo {
    name: DISTILLATION,
    title: "Consistency distillation (CD)",
    paper: "arXiv:2303.01469",
    players: &[STUDENT],
    needs_teacher: true,
    file: "consistency.rs",
    summary: "neighbors on the teacher's trajectory get the same answer",
    published,
    short_run,
    short_options: |_, _| toml::Table::new(),
    options: || toml::Table::try_from(ConsistencyConfig::distillation()).unwrap_or_default(),
    build: |ingredients, table| {
        let config = with_defaults(ConsistencyConfig::distillation(), table);
        let config = options(DISTILLATION, &config)?;
        Ok(Box::new(Consistency::new(ingredients, ConsistencyMode::Distillation, config)?))
    },
};

/// The row of the method table for consistency training.
pub(crate) const TRAINING_INFO: MethodInfo = MethodInfo {
    name: TRAINING,
    title: "Consistency training (CT)",
    paper: "arXiv:2303.01469",
    players: &[STUDENT],
    needs_teacher: false,
    file: "consistency.rs",
    summary: "the same from data alone, with a growing number of levels",
    published,
    short_run,
    short_options,
    options: || toml::Table::try_from(ConsistencyConfig::training()).unwrap_or_default(),
    build: |ingredients, table| {
        let config = with_defaults(ConsistencyConfig::training(), table);
        let config = options(TRAINING, &config)?;
        Ok(Box::new(Consistency::new(ingredients, ConsistencyMode::Training, config)?))
    },
};

/// Where the cleaner point of a pair comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsistencyMode {
    /// From one Heun step of the teacher.
    Distillation,
    /// From the data and the same noise.
    Training,
}

/// The weighting `λ(t)` of the consistency loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsistencyWeighting {
    /// 1, as in all published runs.
    Uniform,
    /// `1/t² + 1/σ_data²`.
    Karras,
    /// `1/t² + 1`.
    SnrPlusOne,
    /// `max(1/t², 1)`.
    TruncatedSnr,
}

impl ConsistencyWeighting {
    /// `λ(t)`, `[B]` to `[B]`.
    pub fn weight(self, t: &Tensor) -> Tensor {
        match self {
            Self::Uniform => UniformWeighting.weight(t),
            Self::Karras => SnrWeighting { plus: 4.0 }.weight(t),
            Self::SnrPlusOne => SnrWeighting { plus: 1.0 }.weight(t),
            Self::TruncatedSnr => TruncatedSnr.weight(t),
        }
    }
}

/// Options of [`Consistency`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyConfig {
    /// How many levels, and how slow the target.
    pub curriculum: Curriculum,
    /// What "the same answer" means.
    pub distance: Distance,
    /// The weighting of levels.
    pub weighting: ConsistencyWeighting,
    /// The levels.
    pub grid: KarrasGrid,
    /// Whether the network's dropout is active; student and target then share their masks.
    pub dropout: bool,
}

impl ConsistencyConfig {
    /// The published settings for CIFAR-10 with the L2 distance: 18 levels, the target is the student itself.
    pub fn distillation() -> Self {
        let scales = Scales::Fixed { scales: 18 };
        Self::new(Curriculum { scales, target: TargetEma::Fixed { decay: 0.0 } })
    }

    /// The published settings for CIFAR-10: from 2 to 150 levels.
    pub fn training() -> Self {
        let scales = Scales::Progressive { start: 2, end: 150, total_steps: 800_000 };
        Self::new(Curriculum { scales, target: TargetEma::Adaptive { decay: 0.9 } })
    }

    fn new(curriculum: Curriculum) -> Self {
        Self {
            curriculum,
            distance: Distance::L2,
            weighting: ConsistencyWeighting::Uniform,
            grid: KarrasGrid::default(),
            dropout: false,
        }
    }

    fn validate(&self, method: &'static str) -> Result<()> {
        let scales = self.curriculum.scales(0);
        require(scales >= 2, method, "curriculum.scales", scales, "must be at least 2")?;
        if let Scales::Progressive { total_steps, .. } = self.curriculum.scales {
            require(
                total_steps > 0,
                method,
                "curriculum.scales.total_steps",
                total_steps,
                "must be positive",
            )?;
        }
        let decay = self.curriculum.target_decay(0);
        let ok = (0.0..=1.0).contains(&decay);
        require(ok, method, "curriculum.target.decay", decay, "must be in [0, 1]")
    }
}

/// Consistency distillation or training.
///
/// The student answers `x` itself at the smallest level (boundary form of the preconditioning); its network starts
/// from the initial weights. The target is a moving average of the student, updated after each step.
///
/// # Source
/// Song et al. 2023, arXiv:2303.01469, algorithms 2 and 3; official code `cm/karras_diffusion.py`,
/// `cm/train_util.py`. Differs: LPIPS is not offered yet.
pub struct Consistency {
    config: ConsistencyConfig,
    teacher: Option<Rc<dyn Denoiser>>,
    student: Network,
    target: Network,
}

impl Consistency {
    /// Student and target start from the initial network's weights.
    ///
    /// # Errors
    /// If distillation has no teacher or an option makes no sense.
    pub fn new(
        ingredients: &Ingredients<'_>,
        mode: ConsistencyMode,
        config: ConsistencyConfig,
    ) -> Result<Self> {
        let (name, teacher) = match mode {
            ConsistencyMode::Distillation => {
                (DISTILLATION, Some(ingredients.teacher(DISTILLATION)?))
            }
            ConsistencyMode::Training => (TRAINING, None),
        };
        config.validate(name)?;
        let boundary = Boundary { sigma_min: config.grid.sigma_min, ..Boundary::default() };
        let student = ingredients.initial.twin_as(Preconditioning::Boundary(boundary));
        let target = student.twin();
        target.parameters().set_requires_grad(false);
        Ok(Self { config, teacher, student, target })
    }

    /// A random level and its cleaner neighbor for each image.
    fn levels(&self, n: i64, step: u64, noise: &mut Noise) -> [Tensor; 2] {
        let scales = self.config.curriculum.scales(step);
        let indices = noise.integers(n as usize, scales - 1);
        adjacent_levels(&self.config.grid, &indices, scales, noise.device())
    }
}

impl DistillMethod for Consistency {
    fn name(&self) -> &'static str {
        if self.teacher.is_some() { DISTILLATION } else { TRAINING }
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
        let Batch { images, cond, .. } = batch;
        let [t, r] = self.levels(batch.len(), progress.step, noise);
        let n = noise.normal(&images.size());
        let pair = match &self.teacher {
            Some(teacher) => {
                ConsistencyPair::by_teacher(teacher, &Heun, images, &n, [&t, &r], cond)
            }
            None => ConsistencyPair::by_data(images, &n, [&t, &r]),
        };
        let distance = self.config.distance;
        let masks = noise.fork("dropout");
        let loss = if self.config.dropout {
            let student = WithDropout::new(&self.student, masks.clone());
            let target = WithDropout::new(&self.target, masks);
            consistency_loss(&student, &target, &pair, cond, distance)
        } else {
            consistency_loss(&self.student, &self.target, &pair, cond, distance)
        };
        Objective::new((loss * self.config.weighting.weight(&t)).mean(Kind::Float))
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Sampling::new(&self.student, OneStep { sigma: self.config.grid.sigma_max }))
    }

    fn after_turn(&mut self, _turn: &Turn, progress: Progress) {
        let _guard = tch::no_grad_guard();
        let decay = self.config.curriculum.target_decay(progress.step);
        for (target, student) in self.target.parameters().iter().zip(self.student.parameters()) {
            let _ = target.tensor.shallow_clone().lerp_(&student.tensor, 1.0 - decay);
        }
    }

    fn state(&self) -> State {
        let named = |p: &diffusion_core::Parameter| (p.name.clone(), p.tensor.detach());
        let tensors = self.target.parameters().trained().map(named).collect();
        State { tensors, ..State::default() }
    }

    fn load_state(&mut self, state: &State) -> diffusion_core::Result<()> {
        let mut targets = self.target.parameters().trained();
        targets.try_for_each(|target| state.copy_into(&target.name, &target.tensor))
    }
}

impl Distiller for Consistency {
    fn network(&self) -> &Network {
        &self.student
    }

    fn sampler(&self) -> SamplerConfig {
        SamplerConfig::OneStep(OneStep { sigma: self.config.grid.sigma_max })
    }
}

/// The user's table over a mode's defaults.
fn with_defaults(defaults: ConsistencyConfig, table: &toml::Table) -> toml::Table {
    let mut merged = toml::Table::try_from(defaults).unwrap_or_default();
    settings::merge(&mut merged, table.clone());
    merged
}

/// The published settings for CIFAR-10.
fn published() -> BTreeMap<String, RoleConfig> {
    let optimizer =
        OptimizerConfig { algorithm: Algorithm::RAdam, lr: 4e-4, ..OptimizerConfig::default() };
    let ema = Some(EmaConfig::Constant { decay: 0.9999 });
    BTreeMap::from([(STUDENT.to_string(), RoleConfig { optimizer, ema, ..RoleConfig::default() })])
}

/// Settings for runs of some 50 to 1,000 kimg.
fn short_run() -> BTreeMap<String, RoleConfig> {
    let mut roles = published();
    for role in roles.values_mut() {
        role.optimizer.lr = 1e-3;
        role.decay = Decay::Cosine;
        role.ema = Some(EmaConfig::HalfLife { kimg: 10.0, ramp_up: Some(0.1) });
    }
    roles
}

/// Consistency training's curriculum within a run of so many steps, from 10 levels to 40.
fn short_options(_kimg: f64, steps: u64) -> toml::Table {
    let scales = Scales::Progressive { start: 10, end: 40, total_steps: steps.max(1) };
    let curriculum = Curriculum { scales, target: TargetEma::Adaptive { decay: 0.9 } };
    toml::Table::from_iter([(
        "curriculum".into(),
        toml::Value::try_from(curriculum).expect("plain data"),
    )])
}
