//! The loop.

use crate::checkpoint::{CheckpointFolder, Writer};
use crate::ledger::Ledger;
use crate::observer::{Flow, Memory, Observer, RunInfo, Tick};
use crate::player_state::PlayerState;
use crate::{
    AppliedEma, Directive, DistillMethod, Ema, Error, Interrupt, Progress, Result, Role,
    TrainConfig,
};
use diffusion_core::{BatchSource, Noise};
use std::collections::BTreeMap;
use std::time::Instant;
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
    /// Norms of the players' gradients, by role.
    pub(crate) grad_norms: Ledger,
    /// Turns with a loss or gradient that was not finite.
    pub(crate) non_finite: u64,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    pub(crate) checkpoints: Option<CheckpointFolder>,
    pub(crate) writer: Writer,
    /// The newest value of everything that checkpoints can be judged by.
    pub(crate) metrics: BTreeMap<String, f64>,
    interrupt: Interrupt,
}

impl<M: DistillMethod> Trainer<M> {
    /// A trainer at the start of a run.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values, [`Error::Roles`] for a configured role that the method lacks.
    pub fn new(method: M, config: TrainConfig, device: Device) -> Result<Self> {
        config.validate()?;
        let roles: Vec<Role> = method.players().iter().map(|player| player.role).collect();
        if config.roles.keys().any(|name| !roles.iter().any(|role| role.0 == name)) {
            let configured = config.roles.keys().cloned().collect();
            let players = roles.iter().map(Role::to_string).collect();
            return Err(Error::Roles { configured, players });
        }
        let settings = |role: Role| config.roles.get(role.0).cloned().unwrap_or_default();
        let players =
            method.players().iter().map(|p| PlayerState::new(p, settings(p.role))).collect();
        let noise = Noise::new(config.seed).stream("training").on(device);
        Ok(Self {
            method,
            config,
            device,
            label: "run".into(),
            players,
            noise,
            progress: Progress::default(),
            ledger: Ledger::default(),
            grad_norms: Ledger::default(),
            non_finite: 0,
            observers: Vec::new(),
            checkpoints: None,
            writer: Writer::default(),
            metrics: BTreeMap::new(),
            interrupt: Interrupt::default(),
        })
    }

    /// Names the run for people.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// Adds an observer.
    #[must_use]
    pub fn observe(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Writes checkpoints.
    #[must_use]
    pub fn checkpoints(self, folder: CheckpointFolder) -> Self {
        Self { checkpoints: Some(folder), ..self }
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

    /// Puts every average into its network; the weights come back when the guards are dropped.
    #[must_use = "the averages are in the networks as long as the guards live"]
    pub fn averaged(&self) -> Vec<AppliedEma<'_>> {
        averaged(&self.players)
    }

    /// Runs until the budget is spent, somebody asks to stop, or something fails.
    ///
    /// # Errors
    /// Whatever went wrong, with the progress at which it did. If checkpoints are written, what was done until then is
    /// in one, unless something failed in the middle of a step; then the last regular checkpoint is what there is. They
    /// are written by a thread of their own: a failed write ends the run after the step in which it is found out.
    pub fn run(&mut self, source: &mut dyn BatchSource) -> Result<Outcome> {
        let info = RunInfo {
            label: self.label.clone(),
            method: self.method.name().into(),
            options: serde_json::to_value(self.method.options()).unwrap_or_default(),
            device: device_name(self.device),
            progress: self.progress,
            total_images: self.config.total_images(),
            batch: self.config.batch,
            config: serde_json::to_value(&self.config).unwrap_or_default(),
        };
        self.observers.iter_mut().try_for_each(|observer| observer.on_start(&info))?;
        let result = self.steps(source);
        let written = self.writer.wait();
        if let (Err(_), Err(error)) = (&result, &written) {
            self.notify(&format!("besides, the last checkpoint could not be written: {error}"));
        }
        let result = result.and_then(|outcome| written.map(|_| outcome));
        let progress = self.progress;
        let failed = |source: Error| Error::At { progress, source: Box::new(source) };
        let outcome = match &result {
            Ok(outcome) => outcome.clone(),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let mut ended = Ok(());
        for observer in &mut self.observers {
            ended = ended.and(observer.on_end(&outcome)); // everybody hears of the end
        }
        let outcome = result.map_err(failed)?;
        ended.map_err(failed)?;
        Ok(outcome)
    }

    fn steps(&mut self, source: &mut dyn BatchSource) -> Result<Outcome> {
        let total = self.config.total_images();
        let tick_images = (self.config.tick_kimg * 1000.0).round() as u64;
        let checkpoint_images = (self.config.checkpoint_kimg * 1000.0).round() as u64;
        let started = Instant::now();
        let (mut ticked, mut saved) = (self.progress, self.progress);
        let mut tick_started = started;
        while self.progress.images < total {
            let first = match source.next_batch(self.config.batch) {
                Ok(batch) => batch,
                Err(error) => {
                    if self.progress != saved {
                        self.save_checkpoint(source)?; // the weights are good, only the data failed
                    }
                    return Err(error.into());
                }
            };
            let before = self.progress;
            let directives = self.step(first, source)?;
            self.writer.check()?;
            let progress = self.progress;
            let due = |every: u64| progress.images / every.max(1) > before.images / every.max(1);
            self.observers.iter_mut().for_each(|observer| observer.on_step(progress));
            let stop = directives.contains(&Directive::Stop);
            let interrupted = self.interrupt.requested();
            let last = stop || interrupted || progress.images >= total;
            let mut flow = Flow::Continue;
            if last || due(tick_images) {
                let kimg = progress.kimg() - ticked.kimg();
                let s_per_kimg = tick_started.elapsed().as_secs_f64() / kimg;
                flow = match self.tick(started.elapsed().as_secs_f64(), s_per_kimg, last) {
                    Ok(flow) => flow,
                    Err(error) => {
                        self.save_checkpoint(source)?; // the weights are good, only the report failed
                        return Err(error);
                    }
                };
                (ticked, tick_started) = (progress, Instant::now());
            }
            let last = last || flow == Flow::Stop;
            if last || due(checkpoint_images) {
                self.save_checkpoint(source)?;
                saved = progress;
            }
            if interrupted {
                return Ok(Outcome::Interrupted);
            }
            if stop || flow == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    fn tick(&mut self, elapsed_s: f64, s_per_kimg: f64, last: bool) -> Result<Flow> {
        let total_images = self.config.total_images();
        let before = self.progress.images.saturating_sub(self.config.batch as u64);
        let rate = |player: &PlayerState| player.learning_rate(before, total_images);
        let tick = Tick {
            progress: self.progress,
            total_images,
            elapsed_s,
            s_per_kimg,
            images_per_s: 1000.0 / s_per_kimg,
            terms: self.ledger.means(),
            grad_norm: self.grad_norms.means(),
            learning_rate: self.players.iter().map(|p| (p.role.to_string(), rate(p))).collect(),
            memory: Memory::of(self.device),
            non_finite: self.non_finite,
            last,
        };
        let mut flow = Flow::Continue;
        {
            let _averages = averaged(&self.players);
            let student = self.method.student();
            for observer in &mut self.observers {
                if observer.on_tick(&tick, &*student)? == Flow::Stop {
                    flow = Flow::Stop;
                }
            }
        }
        self.note_metrics(&tick);
        Ok(flow)
    }
}

fn averaged(players: &[PlayerState]) -> Vec<AppliedEma<'_>> {
    players.iter().filter_map(PlayerState::ema).map(Ema::applied).collect()
}

fn device_name(device: Device) -> String {
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
