//! The loop: steps, and what is due between them.

use crate::observer::{Flow, Memory, RunInfo, Tick};
use crate::player_state::PlayerState;
use crate::step::GRAD_NORM;
use crate::trainer::device_name;
use crate::{Directive, DistillMethod, Ema, EmaConfig, Error, Outcome, Result, Trainer};
use diffusion_core::BatchSource;
use std::collections::BTreeMap;
use std::time::Instant;

impl<M: DistillMethod> Trainer<M> {
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
        if let Some((snapshots, ..)) = self.snapshots.as_ref().filter(|_| self.parallel.is_first())
        {
            snapshots.rewind(self.progress.images)?;
        }
        self.observers.iter_mut().try_for_each(|observer| observer.on_start(&info))?;
        let result = self.agree_on_state(source).and_then(|()| self.steps(source));
        let result = result.and_then(|outcome| self.parallel.leave().map(|()| outcome));
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
            let before = self.progress;
            self.metrics.clear(); // those of weights that are about to change
            let directives = self.step(first, source)?;
            self.writer.check()?;
            let progress = self.progress;
            self.snapshot_averages()?;
            let due = |every: u64| progress.images / every.max(1) > before.images / every.max(1);
            self.observers.iter_mut().for_each(|observer| observer.on_step(progress));
            let stop = directives.contains(&Directive::Stop);
            let interrupted = self.is_interrupted();
            let last = stop || interrupted || progress.images >= total;
            let save_due = last || due(checkpoint_images);
            let tick_due = last || due(tick_images) || (save_due && self.judges_checkpoints());
            if tick_due || save_due {
                self.non_finite.settle()?;
            }
            let mut flow = Flow::Continue;
            if tick_due {
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
            if save_due || last {
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

    /// Saves power-function averages if the last step has passed a multiple of the interval.
    fn snapshot_averages(&self) -> Result<()> {
        let Some((folder, role, every)) = &self.snapshots else { return Ok(()) };
        if !self.parallel.is_first() {
            return Ok(());
        }
        let images = self.progress.images;
        if images / every == (images - self.config.batch as u64) / every {
            return Ok(());
        }
        let power = |ema: &&Ema| matches!(ema.config(), EmaConfig::Power { .. });
        self.emas(*role).iter().filter(power).try_for_each(|ema| folder.write(ema, images))
    }

    fn tick(&mut self, elapsed_s: f64, s_per_kimg: f64, last: bool) -> Result<Flow> {
        for note in self.non_finite.take_notes() {
            self.notify(&note);
        }
        let (mut terms, mut grad_norm) = (BTreeMap::new(), BTreeMap::new());
        for (name, mean) in self.parallel.mean_terms(self.ledger.means())? {
            match name.strip_prefix(GRAD_NORM) {
                Some(role) => grad_norm.insert(role.to_owned(), mean),
                None => terms.insert(name, mean),
            };
        }
        let total_images = self.config.total_images();
        let before = self.progress.images.saturating_sub(self.config.batch as u64);
        let rate = |player: &PlayerState| player.learning_rate(before, total_images);
        let mut tick = Tick {
            progress: self.progress,
            total_images,
            elapsed_s,
            s_per_kimg,
            images_per_s: 1000.0 / s_per_kimg,
            terms,
            metrics: BTreeMap::new(),
            grad_norm,
            learning_rate: self.players.iter().map(|p| (p.role.to_string(), rate(p))).collect(),
            memory: Memory::of(self.device),
            non_finite: self.non_finite.count(),
            last,
        };
        let reported = self.report(&mut tick);
        let flow = self.parallel.verdict(reported)?;
        self.note_metrics(&tick);
        Ok(flow)
    }
}
