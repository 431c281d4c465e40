//! The loop.

use crate::checkpoint::{self, CheckpointFolder, Manifest};
use crate::data_parallel::{DataParallel, PART};
use crate::ledger::Ledger;
use crate::observer::{Flow, Observer, RunInfo, Tick};
use crate::player_state::PlayerState;
use crate::{
    AppliedEma, Directive, DistillMethod, Ema, Error, Interrupt, Progress, Result, Role,
    TrainConfig,
};
use diffusion_core::{BatchSource, Noise, State};
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
    label: String,
    pub(crate) players: Vec<PlayerState>,
    pub(crate) noise: Noise,
    pub(crate) progress: Progress,
    pub(crate) ledger: Ledger,
    /// Turns with a loss or gradient that was not finite, since the run started or resumed.
    pub(crate) non_finite: u64,
    /// The other processes of the run.
    pub(crate) parallel: DataParallel,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    pub(crate) checkpoints: Option<CheckpointFolder>,
    pub(crate) interrupt: Interrupt,
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
            non_finite: 0,
            parallel: DataParallel::default(),
            observers: Vec::new(),
            checkpoints: None,
            interrupt: Interrupt::default(),
        })
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

    /// Continues from the newest usable checkpoint of the folder given to [`Trainer::checkpoints`], if there is one.
    ///
    /// Returns the reasons why newer checkpoints were passed over.
    ///
    /// # Errors
    /// If checkpoints exist and none can be used; [`Error::ConfigDrift`] if the method, one of its options, the
    /// configuration or the number of processes differs.
    pub fn resume(&mut self, source: &mut dyn BatchSource) -> Result<Vec<Error>> {
        let Some(folder) = &self.checkpoints else { return Ok(Vec::new()) };
        let Some((saved, passed_over)) = folder.newest()? else { return Ok(Vec::new()) };
        let drift = self.manifest().drift(&saved.manifest);
        if !drift.is_empty() {
            return Err(Error::ConfigDrift(drift));
        }
        let noise = self.parallel.saved_noise(&saved.part(PART), saved.manifest.noise)?;
        for player in &mut self.players {
            player.load_state(&saved.part(&format!("players.{}", player.role)))?;
        }
        self.method.load_state(&saved.part("method"))?;
        source.restore(&saved.part("source"))?;
        for (index, observer) in self.observers.iter_mut().enumerate() {
            observer.restore(&saved.part(&format!("observers.{index}")))?;
        }
        self.noise = Noise::from_state(noise).on(self.device);
        self.progress = saved.manifest.progress;
        Ok(passed_over)
    }

    /// Runs until the budget is spent, somebody asks to stop, or something fails.
    ///
    /// # Errors
    /// Whatever went wrong, with the progress at which it did. If checkpoints are written, what was done until then is
    /// in one, unless something failed in the middle of a step; then the last regular checkpoint is what there is.
    pub fn run(&mut self, source: &mut dyn BatchSource) -> Result<Outcome> {
        let info = RunInfo {
            label: self.label.clone(),
            progress: self.progress,
            total_images: self.config.total_images(),
            batch: self.config.batch,
            config: serde_json::to_value(&self.config).unwrap_or_default(),
        };
        self.observers.iter_mut().try_for_each(|observer| observer.on_start(&info))?;
        let result = self.agree_on_state(source).and_then(|()| self.steps(source));
        let result = result.and_then(|outcome| self.parallel.leave().map(|()| outcome));
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
        let tick_images = (self.config.tick_kimg * 1000.0) as u64;
        let checkpoint_images = (self.config.checkpoint_kimg * 1000.0) as u64;
        let started = Instant::now();
        let (mut ticked, mut saved) = (self.progress, self.progress);
        let mut tick_started = started;
        while self.progress.images < total {
            let first = match self.next_batch(source) {
                Ok(batch) => batch,
                Err(error) => {
                    // The weights are good, only the data failed. Other processes would not know of it.
                    if self.progress != saved && self.parallel.is_alone() {
                        self.save_checkpoint(source)?;
                    }
                    return Err(error);
                }
            };
            let directives = self.step(first, source)?;
            let progress = self.progress;
            self.observers.iter_mut().for_each(|observer| observer.on_step(progress));
            let stop = directives.contains(&Directive::Stop);
            let interrupted = self.is_interrupted();
            let last = stop || interrupted || progress.images >= total;
            let mut flow = Flow::Continue;
            if last || progress.images - ticked.images >= tick_images {
                let kimg = progress.kimg() - ticked.kimg();
                let s_per_kimg = tick_started.elapsed().as_secs_f64() / kimg;
                flow = match self.tick(started.elapsed().as_secs_f64(), s_per_kimg, last) {
                    Ok(flow) => flow,
                    Err(error) => {
                        if !error.is_lost_contact() {
                            self.save_checkpoint(source)?; // the weights are good, only the report failed
                        }
                        return Err(error);
                    }
                };
                (ticked, tick_started) = (progress, Instant::now());
            }
            let last = last || flow == Flow::Stop;
            if last || progress.images - saved.images >= checkpoint_images {
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
        let mut terms = self.parallel.mean_terms(self.ledger.means())?;
        if self.non_finite > 0 {
            terms.insert("non_finite_turns".into(), self.non_finite as f64);
        }
        let total_images = self.config.total_images();
        let tick =
            Tick { progress: self.progress, total_images, elapsed_s, s_per_kimg, terms, last };
        let reported = self.report(&tick);
        self.parallel.verdict(reported)
    }

    /// Shows the averaged student to the observers.
    fn report(&mut self, tick: &Tick) -> Result<Flow> {
        if self.observers.is_empty() {
            return Ok(Flow::Continue);
        }
        let _averages = averaged(&self.players);
        let student = self.method.student();
        let mut flow = Flow::Continue;
        for observer in &mut self.observers {
            if observer.on_tick(tick, &*student)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    fn save_checkpoint(&self, source: &dyn BatchSource) -> Result<()> {
        let Some(folder) = &self.checkpoints else { return Ok(()) };
        let mut parts: BTreeMap<String, State> = BTreeMap::new();
        self.agree_on_state(source)?;
        self.save_processes(&mut parts)?;
        if !self.parallel.is_first() {
            return Ok(());
        }
        for player in &self.players {
            parts.insert(format!("players.{}", player.role), player.state());
        }
        parts.insert("method".into(), self.method.state());
        parts.insert("source".into(), source.state());
        for (index, observer) in self.observers.iter().enumerate() {
            parts.insert(format!("observers.{index}"), observer.state());
        }
        folder.write(self.manifest(), &parts)
    }

    /// What a checkpoint says about the run beside the state of its parts.
    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            format: checkpoint::FORMAT,
            progress: self.progress,
            noise: self.noise.state(),
            config: self.config.clone(),
            method: self.method.name().into(),
            options: serde_json::to_value(self.method.options()).unwrap_or_default(),
            values: BTreeMap::new(),
            crc32: 0,
        }
    }
}

fn averaged(players: &[PlayerState]) -> Vec<AppliedEma<'_>> {
    players.iter().filter_map(PlayerState::ema).map(Ema::applied).collect()
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
