//! Watching a run: the console, machine-readable logs, pictures.
//!
//! Observers receive events and never change numbers. Each is one file; a run takes any number of them.

mod chart;
mod console;
mod curves;
mod evaluate;
#[cfg(test)]
mod fixture;
mod grid;
mod image_grid;
mod jsonl;
mod memory;
mod tensorboard;
mod tick;

pub use console::Console;
pub use curves::LossCurves;
pub use evaluate::Evaluate;
pub use grid::SampleGrid;
pub use image_grid::write_grid;
pub use jsonl::JsonLines;
pub use memory::Memory;
pub use tensorboard::TensorBoard;
pub use tick::Tick;

use crate::{Outcome, Progress, Result};
use diffusion_core::{Generator, State};
use serde::Serialize;
use std::collections::BTreeMap;

/// Why something could not be measured, whoever found out.
pub type MeasureError = Box<dyn std::error::Error>;

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End the run after this step, as if its budget were spent.
    Stop,
}

/// What is known when a run starts.
#[derive(Debug, Clone, Serialize)]
pub struct RunInfo {
    /// What is being run, for people.
    pub label: String,
    /// The method's name.
    pub method: String,
    /// The options that the method was made with.
    pub options: serde_json::Value,
    /// Where it runs: `cpu` or `cuda:N`.
    pub device: String,
    /// Where the run starts: beyond zero after a resume.
    pub progress: Progress,
    /// Images of the whole run.
    pub total_images: u64,
    /// Images of one step.
    pub batch: usize,
    /// The configuration, as it is saved in checkpoints.
    pub config: serde_json::Value,
}

/// Watches a run. Every hook has a default that does nothing.
pub trait Observer {
    /// The run starts or resumes.
    ///
    /// # Errors
    /// An error ends the run before its first step.
    fn on_start(&mut self, _run: &RunInfo) -> Result<()> {
        Ok(())
    }

    /// A step was done. Must be cheap: it is called thousands of times.
    fn on_step(&mut self, _progress: Progress) {}

    /// A report is due, and this is the time to measure the student, which has its averaged weights for the duration of
    /// the call: a Fréchet distance, say. Called on every observer before any of them hears of the tick.
    ///
    /// The values, by name, are part of the report that all observers get ([`Tick::metrics`]), and a checkpoint of this
    /// step is judged by them ([`CheckpointFolder::keep_best`](crate::CheckpointFolder::keep_best)). One that is not
    /// finite is left out, with a notice.
    ///
    /// # Errors
    /// An error is a notice and no value: a metric that fails does not end a run.
    fn measure(
        &mut self,
        _tick: &Tick,
        _student: &dyn Generator,
    ) -> Result<BTreeMap<String, f64>, MeasureError> {
        Ok(BTreeMap::new())
    }

    /// A report is due. `student` has its averaged weights for the duration of the call.
    ///
    /// # Errors
    /// An error ends the run; a checkpoint is written first.
    fn on_tick(&mut self, _tick: &Tick, _student: &dyn Generator) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// The run is over, whatever the outcome.
    ///
    /// # Errors
    /// If the observer cannot finish its output.
    fn on_end(&mut self, _outcome: &Outcome) -> Result<()> {
        Ok(())
    }

    /// Something about the run that is worth a line for people, such as a slow disk.
    fn on_notice(&mut self, _text: &str) {}

    /// The name that the state is saved under; it must not change from one version of a program to the next.
    fn key(&self) -> &str {
        std::any::type_name::<Self>()
    }

    /// What must be saved so that the observer continues its output after a resume.
    fn state(&self) -> State {
        State::default()
    }

    /// Continues from a saved state. Not called on a resume from a checkpoint without one.
    ///
    /// # Errors
    /// If the state is not one of this observer.
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}
