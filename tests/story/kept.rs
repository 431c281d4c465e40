//! What observers have a say in: their own state, which checkpoints are kept, notices.

use crate::saved::{checkpoint, names, steps};
use crate::tiny::{pictures, plain_config, trainer};
use crate::toy::Toy;
use crate::watch::Notices;
use fewstep::diffusion_core::State;
use fewstep::distill_trainer::observer::MeasureError;
use fewstep::distill_trainer::{Better, Error, Flow, Manifest, Observer, Tick};
use fewstep::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Counts ticks; its state is one number.
struct Counter(&'static str, Rc<Cell<u64>>);

impl Observer for Counter {
    fn on_tick(&mut self, _tick: &Tick, _student: &dyn Generator) -> Result<Flow, Error> {
        self.1.set(self.1.get() + 1);
        Ok(Flow::Continue)
    }

    fn key(&self) -> &str {
        self.0
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.set("ticks", self.1.get());
        state
    }

    fn restore(&mut self, state: &State) -> Result<(), Error> {
        self.1.set(state.get("ticks")?);
        Ok(())
    }
}

#[test]
fn observers_find_their_state_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let observed = |keys: &[&'static str], n_steps: usize| -> Vec<u64> {
        let counts: Vec<Rc<Cell<u64>>> = keys.iter().map(|_| Rc::default()).collect();
        let mut trainer = trainer(Toy::new(), plain_config(n_steps), folder.path());
        for (key, count) in keys.iter().zip(&counts) {
            trainer = trainer.observe(Counter(key, count.clone()));
        }
        let mut data = pictures();
        trainer.resume(&mut data).unwrap();
        trainer.run(&mut data).unwrap();
        counts.iter().map(|count| count.get()).collect()
    };
    assert_eq!(observed(&["a", "b"], 2), [2, 2]);
    assert_eq!(observed(&["new", "b", "a", "a"], 3), [1, 3, 3, 1], "two of a kind are numbered");
    assert_eq!(observed(&["a", "a"], 4), [4, 2]);
}

/// Measures the step's distance from 3.
pub(crate) struct Distance;

impl Observer for Distance {
    fn measure(
        &mut self,
        tick: &Tick,
        _student: &dyn Generator,
    ) -> Result<BTreeMap<String, f64>, MeasureError> {
        let distance = (tick.progress.step as f64 - 3.0).abs();
        Ok([("distance".to_owned(), distance)].into())
    }
}

#[test]
fn the_best_checkpoint_outlives_newer_ones_and_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let run = |n_steps| {
        let checkpoints = CheckpointFolder::create(folder.path(), 1).unwrap();
        let checkpoints = checkpoints.keep_best("distance", Better::Lower, 1);
        let config = TrainConfig { checkpoint_kimg: 0.004, ..plain_config(n_steps) };
        let mut trainer = Trainer::new(Toy::new(), config, Device::Cpu)
            .unwrap()
            .observe(Distance)
            .checkpoints(checkpoints);
        let mut data = pictures();
        trainer.resume(&mut data).unwrap();
        trainer.run(&mut data).unwrap();
    };
    run(5);
    assert_eq!(names(folder.path()), steps([3, 5]));
    run(8);
    assert_eq!(names(folder.path()), steps([3, 8]));
    let manifest = Manifest::read(&checkpoint(folder.path(), 8)).unwrap();
    assert_eq!(manifest.metrics["distance"], 5.0);
    let loss = manifest.metrics["move-first/loss"];
    assert!((loss - 0.993).abs() < 1e-6, "{loss}"); // the toy's loss is its number, as the step found it
}

#[test]
fn a_metric_that_nobody_reports_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointFolder::at(folder.path(), 1).keep_best("fid", Better::Lower, 1);
    let notices = Notices::default();
    let mut trainer = Trainer::new(Toy::new(), plain_config(2), Device::Cpu)
        .unwrap()
        .observe(notices.clone())
        .checkpoints(checkpoints);
    trainer.run(&mut pictures()).unwrap();
    let notices = notices.all();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("`fid`") && notices[0].contains("move-first/loss"), "{notices:?}");
}
