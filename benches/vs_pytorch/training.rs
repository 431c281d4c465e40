//! Our side of the training rows: the real trainer, held between steps by its source of batches.

use crate::networks::classes;
use crate::protocol::{Job, Kind, Precision};
use crate::worker::Work;
use anyhow::{Context, Result, anyhow};
use fewstep::diffusion_core::{self, State};
use fewstep::distill_trainer::{self, Algorithm, Observer, Progress};
use fewstep::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

/// Small, so that any number of steps from random weights stays finite.
pub(crate) const RATE: f64 = 1e-6;

/// Steps of the job's method, in a trainer on a thread of its own: a run of the trainer goes on to its end, so it is
/// the source that waits until the next step is wanted.
pub(crate) fn steps(job: &Job) -> Result<Work> {
    let (permits, wanted) = mpsc::channel();
    let (done, durations) = mpsc::channel();
    let job = job.clone();
    let failed = done.clone();
    thread::spawn(move || {
        if let Err(error) = run(&job, wanted, done) {
            let _ = failed.send(Err(error));
        }
    });
    Ok(Box::new(move |iterations| {
        let next = |_| {
            permits.send(()).context("the trainer has ended")?;
            durations.recv().context("the trainer has ended")?
        };
        (0..iterations).map(next).collect()
    }))
}

fn run(job: &Job, permits: Receiver<()>, durations: Sender<Result<f64>>) -> Result<()> {
    let entry = method(match job.kind {
        Kind::Cd => "cd",
        Kind::Sid => "sid",
        _ => "teacher",
    })?;
    let made = {
        // The method keeps copies of what it needs.
        let (teacher, _) = unet::load(&job.weights, Device::Cpu)?;
        (entry.build)(&Ingredients::distill(&teacher), &Default::default())?
    };
    let mut roles = (entry.published)();
    for role in roles.values_mut() {
        // Every row compares the same optimizer.
        role.optimizer.algorithm = Algorithm::Adam;
        role.optimizer.lr = RATE;
    }
    let config = TrainConfig {
        batch: usize::try_from(job.batch)?,
        kimg: 1e9,
        tick_kimg: f64::MAX,
        precision: precision(job.precision),
        roles,
        ..TrainConfig::default()
    };
    let side = job.network.img_resolution;
    let images = Noise::new(1).normal(&[job.batch, job.network.img_channels, side, side]);
    let batch = Batch { images: images.clamp(-1.0, 1.0), cond: classes(job)? };
    let started = Rc::new(Cell::new(None));
    let mut source = Gate { batch, permits, started: started.clone() };
    let stopwatch = Stopwatch { started, durations };
    let mut trainer = Trainer::new(made, config, Device::Cpu)?.observe(stopwatch);
    trainer.run(&mut source).map(drop).map_err(|error| anyhow!(error))
}

fn precision(precision: Precision) -> distill_trainer::Precision {
    match precision {
        Precision::F32 => distill_trainer::Precision::F32,
        Precision::Bf16 => distill_trainer::Precision::Bf16,
    }
}

/// The precision of a run whose user has not said anything.
pub(crate) fn unconfigured_precision() -> Precision {
    match TrainConfig::default().precision.resolve(Device::Cpu) {
        distill_trainer::Precision::Bf16 => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// The same batch again and again; the first of a step waits until the step is wanted.
struct Gate {
    batch: Batch,
    permits: Receiver<()>,
    started: Rc<Cell<Option<Instant>>>,
}

impl BatchSource for Gate {
    fn next_batch(&mut self, _size: usize) -> diffusion_core::Result<Batch> {
        if self.started.get().is_none() {
            // Nobody asks any more once the process is about to end; the trainer has nothing to clean up.
            self.permits.recv().unwrap_or_else(|_| std::process::exit(0));
            self.started.set(Some(Instant::now()));
        }
        Ok(self.batch.narrow(0, self.batch.len()))
    }

    fn state(&self) -> State {
        State::default()
    }

    fn restore(&mut self, _state: &State) -> diffusion_core::Result<()> {
        Ok(())
    }
}

/// Reports how long each step took.
struct Stopwatch {
    started: Rc<Cell<Option<Instant>>>,
    durations: Sender<Result<f64>>,
}

impl Observer for Stopwatch {
    fn on_step(&mut self, _progress: Progress) {
        if let Some(started) = self.started.take() {
            let _ = self.durations.send(Ok(started.elapsed().as_secs_f64()));
        }
    }
}
