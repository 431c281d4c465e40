//! Writing checkpoints out of a run.

use crate::checkpoint::{self, CheckpointFolder, Manifest, Snapshot};
use crate::data_parallel::PART;
use crate::observer::Tick;
use crate::{DistillMethod, Result, Trainer};
use diffusion_core::BatchSource;
use std::collections::BTreeMap;
use std::time::Duration;

/// Waiting longer than this for the checkpoint before is worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

impl<M: DistillMethod> Trainer<M> {
    /// Copies the state and has it written, after the checkpoint before it.
    pub(crate) fn save_checkpoint(&mut self, source: &dyn BatchSource) -> Result<()> {
        let Some(folder) = self.checkpoints.clone() else { return Ok(()) };
        self.agree_on_state(source)?;
        let processes = self.parallel.state(self.noise.state())?;
        if !self.parallel.is_first() {
            return Ok(());
        }
        let waited = self.writer.wait()?;
        if waited > PATIENCE {
            self.notify(&format!(
                "waited {:.1} s until the checkpoint before was written: write them less often, or to a faster disk",
                waited.as_secs_f64()
            ));
        }
        if let Some(metric) = folder.metric_without_value(&self.metrics) {
            let known: Vec<_> = self.metrics.keys().collect();
            let step = self.progress.step;
            let text = format!(
                "checkpoint {step} has no value of `{metric}` to be kept by, only {known:?}"
            );
            self.notify(&text);
        }
        let mut snapshot = self.snapshot(source);
        if let Some(processes) = processes {
            snapshot.add(PART, processes);
        }
        self.writer.start(folder, snapshot)
    }

    fn snapshot(&self, source: &dyn BatchSource) -> Snapshot {
        let mut snapshot = Snapshot::new(self.manifest());
        for player in &self.players {
            snapshot.add(&format!("players.{}", player.role), player.state());
        }
        snapshot.add("method", self.method.state());
        snapshot.add("source", source.state());
        let mut run = self.ledger.state();
        run.set("non_finite", self.non_finite.count());
        snapshot.add("run", run);
        for (part, observer) in self.observer_parts().iter().zip(&self.observers) {
            snapshot.add(part, observer.state());
        }
        snapshot
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
            metrics: self.metrics.clone(),
            values: BTreeMap::new(),
            crc32: 0,
        }
    }

    /// The names of the observers' parts: their keys, numbered where several have the same.
    pub(crate) fn observer_parts(&self) -> Vec<String> {
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        let mut parts = Vec::new();
        for key in self.observers.iter().map(|observer| observer.key()) {
            let count = seen.entry(key).or_default();
            *count += 1;
            let nth = if *count > 1 { format!("#{count}") } else { String::new() };
            parts.push(format!("observers.{key}{nth}"));
        }
        parts
    }

    /// Whether some checkpoints are kept for being good.
    pub(crate) fn judges_checkpoints(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(CheckpointFolder::keeps_best)
    }

    /// Remembers what a checkpoint of this step can be judged by: what a tick logs, and what was measured for it.
    pub(crate) fn note_metrics(&mut self, tick: &Tick) {
        self.metrics = tick.terms.clone().into_iter().chain(tick.metrics.clone()).collect();
        self.metrics.retain(|_, value| value.is_finite()); // JSON has no others
    }

    /// Tells all observers.
    pub(crate) fn notify(&mut self, text: &str) {
        self.observers.iter_mut().for_each(|observer| observer.on_notice(text));
    }
}
