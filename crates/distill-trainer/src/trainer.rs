//! A trainer: a method, what it needs to move, and who watches.

use crate::checkpoint::{CheckpointFolder, Writer};
use crate::data_parallel::DataParallel;
use crate::gradients::GradArena;
use crate::ledger::Ledger;
use crate::non_finite::NonFinite;
use crate::observer::Observer;
use crate::player_state::PlayerState;
use crate::recording::Recordings;
use crate::{
    AppliedEma, DistillMethod, Ema, EmaConfig, EmaSnapshots, Error, Interrupt, Progress, Result,
    Role, TrainConfig,
};
use diffusion_core::Noise;
use libtorch_ext::process::release_freed_memory;
use std::collections::BTreeMap;
use tch::Device;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The budget is spent.
    Finished,
    /// The method or an observer asked to stop.
    Stopped,
    /// The user interrupted the run.
    Interrupted,
    /// The run failed.
    Failed(String),
}

/// Runs a method on a source of batches.
///
/// # Example
/// ```no_run
/// # fn demo(method: impl distill_trainer::DistillMethod, mut data: impl diffusion_core::BatchSource)
/// # -> distill_trainer::Result<()> {
/// use distill_trainer::{TrainConfig, Trainer, observer::Console};
/// let mut trainer = Trainer::new(method, TrainConfig::default(), tch::Device::Cpu)?
///     .label("SiD on CIFAR-10")
///     .observe(Console::new());
/// trainer.run(&mut data)?;
/// # Ok(()) }
/// ```
pub struct Trainer<M> {
    pub(crate) method: M,
    pub(crate) config: TrainConfig,
    pub(crate) device: Device,
    pub(crate) label: String,
    pub(crate) players: Vec<PlayerState>,
    pub(crate) noise: Noise,
    pub(crate) progress: Progress,
    pub(crate) ledger: Ledger,
    pub(crate) arena: GradArena,
    pub(crate) recordings: Recordings,
    pub(crate) non_finite: NonFinite,
    /// The other processes of the run.
    pub(crate) parallel: DataParallel,
    pub(crate) snapshots: Option<(EmaSnapshots, Role, u64)>,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    pub(crate) checkpoints: Option<CheckpointFolder>,
    pub(crate) writer: Writer,
    /// The newest value of everything that checkpoints can be judged by.
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) interrupt: Interrupt,
}

impl<M: DistillMethod> Trainer<M> {
    /// A trainer at the start of a run.
    ///
    /// The players' trained tensors are [flattened](diffusion_core::Parameters::flatten), and
    /// [`Precision::Auto`](crate::Precision::Auto) is decided for `device`.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values, [`Error::Roles`] for a configured role that the method lacks,
    /// [`Error::NoSuchParameter`] for a pattern of [`RoleConfig::freeze`](crate::RoleConfig::freeze) that fits nothing,
    /// [`Error::AllFrozen`] if the patterns leave a player nothing to train.
    pub fn new(method: M, config: TrainConfig, device: Device) -> Result<Self> {
        config.validate()?;
        let config = config.resolved(device);
        let roles: Vec<Role> = method.players().iter().map(|player| player.role).collect();
        if config.roles.keys().any(|name| !roles.iter().any(|role| role.0 == name)) {
            let configured = config.roles.keys().cloned().collect();
            let players = roles.iter().map(Role::to_string).collect();
            return Err(Error::Roles { configured, players });
        }
        let settings = |role: Role| config.roles.get(role.0).cloned().unwrap_or_default();
        let players = method.players();
        let players = players.iter().map(|p| PlayerState::new(p, settings(p.role)));
        let players = players.collect::<Result<_>>()?;
        let noise = Noise::new(config.seed).stream("training").on(device);
        let non_finite = NonFinite::new(config.on_non_finite, device);
        let trainer = Self {
            method,
            config,
            device,
            label: "run".into(),
            players,
            noise,
            progress: Progress::default(),
            ledger: Ledger::default(),
            arena: GradArena::new(device),
            recordings: Recordings::default(),
            non_finite,
            parallel: DataParallel::default(),
            snapshots: None,
            observers: Vec::new(),
            checkpoints: None,
            writer: Writer::default(),
            metrics: BTreeMap::new(),
            interrupt: Interrupt::default(),
        };
        let turns = trainer.method.turns(trainer.progress);
        turns.iter().try_for_each(|turn| trainer.precision(turn).map(drop))?;
        release_freed_memory(); // tensors that have moved into one buffer
        Ok(trainer)
    }

    /// Names the run for people.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// Adds an observer. Only the first process of a distributed run is watched.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer + 'static) -> Self {
        if self.parallel.is_first() {
            self.observers.push(Box::new(observer));
        }
        self
    }

    /// Writes checkpoints. In a distributed run the first process writes, and all of them read on a resume.
    #[must_use]
    pub fn checkpoints(self, folder: CheckpointFolder) -> Self {
        Self { checkpoints: Some(folder), ..self }
    }

    /// Saves the power-function averages of `role` every `kimg` thousand images, to make others from them afterwards.
    ///
    /// When the run starts or goes on, snapshots in the folder that lie beyond that point are removed: they belong to a
    /// course that was left.
    ///
    /// # Errors
    /// [`Error::Config`] if the role tracks no such average or `kimg` is not positive.
    pub fn snapshots(mut self, folder: EmaSnapshots, role: Role, kimg: f64) -> Result<Self> {
        let power = |ema: &Ema| matches!(ema.config(), EmaConfig::Power { .. });
        let (field, value, expected) = if !self.emas(role).iter().any(power) {
            (format!("roles.{role}.more_emas"), "[]".into(), "must hold an average of kind `power`")
        } else if !(kimg.is_finite() && kimg > 0.0) {
            ("snapshots.kimg".into(), kimg.to_string(), "must be positive")
        } else {
            self.snapshots = Some((folder, role, ((kimg * 1000.0) as u64).max(1)));
            return Ok(self);
        };
        Err(Error::Config { field, value, expected })
    }

    /// Ends cleanly when `interrupt` asks for it.
    #[must_use]
    pub fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// The method.
    pub fn method(&self) -> &M {
        &self.method
    }

    /// How far the run has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The averages of a role: the one that evaluation uses, if there is one, then the others in the configuration's
    /// order. Empty for a role that the method lacks.
    pub fn emas(&self, role: Role) -> &[Ema] {
        self.players.iter().find(|player| player.role == role).map_or(&[], PlayerState::emas)
    }

    /// Puts the average that evaluation uses into each network; the weights come back when the guards are dropped.
    #[must_use = "the averages are in the networks as long as the guards live"]
    pub fn averaged(&self) -> Vec<AppliedEma<'_>> {
        averaged(&self.players)
    }
}

pub(crate) fn averaged(players: &[PlayerState]) -> Vec<AppliedEma<'_>> {
    players.iter().filter_map(PlayerState::ema).map(Ema::applied).collect()
}

pub(crate) fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl<M> std::fmt::Debug for Trainer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("label", &self.label)
            .field("progress", &self.progress)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
