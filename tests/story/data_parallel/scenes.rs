//! What a process of a run does.

use super::processes::{FOLDER, SCENE};
use super::ruler::{Ruler, measuring, reported};
use crate::kept::Distance;
use crate::tiny::{build, config, pictures, trainer};
use crate::watch::{Recorder, on_tick};
use fewstep::datasets::Loader;
use fewstep::diffusion_core::{self, State, tensor_file};
use fewstep::distill_trainer::{Better, Error, Flow, OnNonFinite};
use fewstep::libtorch_ext::distributed::World;
use fewstep::libtorch_ext::process::set_threads;
use fewstep::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

const N_STEPS: usize = 6;

/// Plays the scene of the environment, if there is one.
pub(super) fn play() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    set_threads(1);
    let world = World::from_env().unwrap();
    let is_other = world.rank() == 1;
    let ruler = |config| trainer(Ruler::new(world.rank()), config, &folder);
    match scene.as_str() {
        "ruler" => measure(&world, &folder),
        "sid" | "cd" => distill(&world, &folder, &scene, None),
        "sid-interrupted" => distill(&world, &folder, "sid", Some(At::Interrupt)),
        "sid-killed" => distill(&world, &folder, "sid", Some(At::Abort)),
        "odd-batch" => drop(
            ruler(TrainConfig { batch: 5, ..measuring() })
                .distributed(world)
                .unwrap_or_else(complain),
        ),
        "other-rate" => {
            let seed = u64::from(is_other);
            drop(
                ruler(TrainConfig { seed, ..measuring() })
                    .distributed(world)
                    .unwrap_or_else(complain),
            );
        }
        "other-shape" => {
            let method = Ruler::with_size(0, if is_other { 4 } else { 8 });
            drop(trainer(method, measuring(), &folder).distributed(world).unwrap_or_else(complain));
        }
        "other-place" => {
            let mut data = pictures();
            data.next_batch(1 + world.rank()).unwrap();
            let mut together = ruler(measuring()).distributed(world).unwrap();
            together.run(&mut data).map(drop).unwrap_or_else(complain);
        }
        "bad-report" => {
            let no_ink = || Error::Interrupt("no ink".into());
            let report =
                on_tick(
                    move |tick, _| {
                        if tick.progress.step == 3 { Err(no_ink()) } else { Ok(Flow::Continue) }
                    },
                );
            let mut together = ruler(measuring()).observe(report).distributed(world).unwrap();
            together.run(&mut pictures()).map(drop).unwrap_or_else(complain);
        }
        "stopped" => {
            let stop = on_tick(|tick, _| {
                Ok(if tick.progress.step == 3 { Flow::Stop } else { Flow::Continue })
            });
            let mut together = ruler(measuring()).distributed(world.clone()).unwrap().observe(stop);
            assert_eq!(together.run(&mut pictures()).unwrap(), Outcome::Stopped);
            leave(&together, &folder, &world, Vec::new());
        }
        "judged" => {
            let checkpoints = CheckpointFolder::create(&folder, 1).unwrap();
            let checkpoints = checkpoints.keep_best("distance", Better::Lower, 1);
            let config = TrainConfig { tick_kimg: 1.0, ..measuring() };
            let mut together = Trainer::new(Ruler::new(world.rank()), config, Device::Cpu)
                .unwrap()
                .checkpoints(checkpoints)
                .distributed(world.clone())
                .unwrap()
                .observe(Distance);
            together.run(&mut pictures()).unwrap();
            leave(&together, &folder, &world, Vec::new());
        }
        "poisoned" => {
            let config = TrainConfig { on_non_finite: OnNonFinite::SkipStep, ..measuring() };
            let at = is_other.then_some((5, At::Poison));
            let mut together = ruler(config).distributed(world.clone()).unwrap();
            together.run(&mut Mishap::new(at)).unwrap();
            leave(&together, &folder, &world, Vec::new());
        }
        other => panic!("there is no scene `{other}`"),
    }
}

fn complain<T>(error: Error) -> T {
    panic!("{error}")
}

fn measure(world: &World, folder: &Path) {
    let recorder = Recorder::default();
    let ruler = trainer(Ruler::new(world.rank()), measuring(), folder);
    let mut together = ruler.observe(recorder.clone()).distributed(world.clone()).unwrap();
    assert_eq!(together.run(&mut pictures()).unwrap(), Outcome::Finished);
    assert_eq!(recorder.ticks().is_empty(), !world.is_first(), "process {}", world.rank());
    let reported = if world.is_first() { reported(&recorder) } else { Vec::new() };
    leave(&together, folder, world, reported);
}

/// A run that is resumed if it can be, with a mishap in process 1 at its fourth batch.
fn distill(world: &World, folder: &Path, name: &str, mishap: Option<At>) {
    let entry = method(name).unwrap();
    let interrupt = Interrupt::default();
    let mut together = trainer(build(entry), config(entry, N_STEPS), folder)
        .interrupted_by(interrupt.clone())
        .distributed(world.clone())
        .unwrap();
    let mut data = Mishap::new(mishap.filter(|_| !world.is_first()).map(|mishap| (6, mishap)));
    data.interrupt = interrupt;
    together.resume(&mut data).map(drop).unwrap_or_else(complain);
    let outcome = together.run(&mut data).unwrap_or_else(complain);
    assert_eq!(outcome == Outcome::Interrupted, mishap.is_some());
    leave(&together, folder, world, Vec::new());
}

/// Writes down what this process holds.
fn leave<M: DistillMethod>(trainer: &Trainer<M>, folder: &Path, world: &World, reported: Vec<f64>) {
    let path = folder.join(format!("rank-{}.safetensors", world.rank()));
    let state = trainer.method().state();
    let reported = Tensor::from_slice(&reported);
    let _averages = trainer.averaged();
    let players = trainer.method().players();
    let weights = players.iter().flat_map(|player| player.parameters.iter());
    let tensors = weights
        .map(|parameter| (parameter.name.as_str(), &parameter.tensor))
        .chain(state.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))
        .chain(world.is_first().then_some(("reported", &reported)));
    let unique: BTreeMap<_, _> = tensors.collect();
    tensor_file::write(&path, unique, &BTreeMap::new()).unwrap();
}

/// What happens to a process.
#[derive(Debug, Clone, Copy)]
enum At {
    Interrupt,
    Abort,
    Poison,
}

/// The pictures, and something that happens when part number so and so is asked for.
struct Mishap {
    inner: Loader,
    parts: usize,
    at: Option<(usize, At)>,
    interrupt: Interrupt,
}

impl Mishap {
    fn new(at: Option<(usize, At)>) -> Self {
        Self { inner: pictures(), parts: 0, at, interrupt: Interrupt::default() }
    }
}

impl BatchSource for Mishap {
    fn next_batch(&mut self, _: usize) -> diffusion_core::Result<Batch> {
        panic!("a process of two asks for its part only")
    }

    fn next_part(&mut self, size: usize, part: Range<usize>) -> diffusion_core::Result<Batch> {
        let batch = self.inner.next_part(size, part)?;
        self.parts += 1;
        match self.at.filter(|(at, _)| *at == self.parts) {
            Some((_, At::Interrupt)) => self.interrupt.request(),
            Some((_, At::Abort)) => std::process::abort(),
            Some((_, At::Poison)) => return Ok(Batch { images: batch.images * f64::NAN, ..batch }),
            None => {}
        }
        Ok(batch)
    }

    fn state(&self) -> State {
        self.inner.state()
    }

    fn restore(&mut self, state: &State) -> diffusion_core::Result<()> {
        self.inner.restore(state)
    }
}
