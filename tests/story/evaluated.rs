//! Evaluation while a run goes on.

use crate::tiny::{BATCH, CLASSES, SIZE, build, config, pictures, plain_config, trainer};
use crate::toy::Toy;
use crate::watch::{Notices, Recorder, on_tick};
use fewstep::datasets::{Shapes, images};
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::observer::{Evaluate, MeasureError};
use fewstep::distill_trainer::{Flow, Manifest, Tick};
use fewstep::metrics::Evaluation;
use fewstep::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const N_STEPS: usize = 4;
const KIMG_OF_A_STEP: f64 = BATCH as f64 / 1000.0;

type Measured = Result<BTreeMap<String, f64>, MeasureError>;

/// Distances of eight images that the student makes of always the same latents.
fn distances() -> impl FnMut(&dyn Generator) -> Measured + 'static {
    let real = images(&Shapes::new(SIZE, 16, 1), 0..16).unwrap();
    let mut evaluation = Evaluation::new(&real, 4, Device::Cpu).unwrap();
    move |student| Ok(evaluation.run("student", student, 8, &Noise::new(3))?.report.values())
}

/// The final weights of the student, and all bits of the log, of a run that is evaluated or not.
fn run(entry: &MethodInfo, evaluated: bool, folder: &Path) -> (Vec<Tensor>, Recorder) {
    let recorder = Recorder::default();
    let mut trainer =
        trainer(build(entry), config(entry, N_STEPS), folder).observe(recorder.clone());
    if evaluated {
        trainer = trainer.observe(Evaluate::new(distances()));
    }
    trainer.run(&mut pictures()).unwrap();
    let weights = trainer.method().network().parameters().iter();
    (weights.map(|parameter| parameter.tensor.detach().copy()).collect(), recorder)
}

#[test]
fn evaluating_changes_no_bit_of_a_run() {
    for entry in METHODS {
        let [with, without] = [true, false].map(|evaluated| {
            let folder = tempfile::tempdir().unwrap();
            run(entry, evaluated, folder.path())
        });
        assert_eq!(with.0, without.0, "`{}`", entry.name);
        assert_eq!(with.1.bits(), without.1.bits(), "`{}`", entry.name);
        let measured = |recorder: &Recorder| -> Vec<f64> {
            recorder.ticks().iter().filter_map(|tick| tick.metrics.get("SW1").copied()).collect()
        };
        assert_eq!(measured(&without.1).len(), 0);
        let values = measured(&with.1);
        assert_eq!(values.len(), N_STEPS);
        assert!(values.windows(2).all(|pair| pair[0] != pair[1]), "{values:?}");
    }
}

/// The steps at which was measured, and the values, over a run of eight steps that is stopped after some and resumed.
fn measured(stop_after: u64) -> Vec<(u64, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    for stop_after in [stop_after, 8] {
        let stop = move |tick: &Tick, _: &dyn Generator| {
            Ok(if tick.progress.step == stop_after { Flow::Stop } else { Flow::Continue })
        };
        let evaluate = Evaluate::new(distances()).every_kimg(3.0 * KIMG_OF_A_STEP);
        let mut trainer = trainer(build(&METHODS[0]), config(&METHODS[0], 8), folder.path())
            .observe(recorder.clone())
            .observe(evaluate)
            .observe(on_tick(stop));
        let mut data = pictures();
        trainer.resume(&mut data).unwrap();
        trainer.run(&mut data).unwrap();
    }
    let measured =
        |tick: &Tick| Some((tick.progress.step, tick.metrics.get("random-FD")?.to_bits()));
    recorder.ticks().iter().filter_map(measured).collect()
}

#[test]
fn a_resumed_run_is_evaluated_when_it_would_have_been() {
    let whole = measured(8);
    let steps: Vec<u64> = whole.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [1, 3, 6, 8]);
    for stop_after in [2, 3, 4, 5, 6] {
        assert_eq!(measured(stop_after), whole, "stopped after step {stop_after}");
    }
}

#[test]
fn what_cannot_be_measured_is_noticed_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (notices, recorder) = (Notices::default(), Recorder::default());
    let mut calls = 0;
    let judge = move |_: &dyn Generator| -> Measured {
        calls += 1;
        match calls {
            1 => Err("no network".into()),
            2 => Ok([("a".into(), f64::NAN), ("b".into(), 1.5)].into()),
            _ => Ok([("a".into(), 2.5)].into()),
        }
    };
    let checkpoints = CheckpointFolder::create(folder.path(), 9).unwrap();
    let mut trainer = Trainer::new(Toy::new(), plain_config(4), Device::Cpu)
        .unwrap()
        .checkpoints(checkpoints)
        .observe(notices.clone())
        .observe(recorder.clone())
        .observe(Evaluate::new(judge));
    assert_eq!(trainer.run(&mut pictures()).unwrap(), Outcome::Finished);
    let expected = ["at 0.0 kimg not measured: no network", "at 0.0 kimg not measured: `a` is NaN"];
    assert_eq!(notices.all(), expected);
    let metrics: Vec<_> = recorder.ticks().into_iter().map(|tick| tick.metrics).collect();
    let one = |name: &str, value| BTreeMap::from([(name.to_owned(), value)]);
    assert_eq!(metrics, [BTreeMap::new(), one("b", 1.5), one("a", 2.5), one("a", 2.5)]);
    let of_step = |step: u64| {
        let path = folder.path().join(format!("step-{step:09}"));
        Manifest::read(&path).unwrap().metrics
    };
    assert_eq!((of_step(2).get("a"), of_step(2).get("b")), (None, Some(&1.5)));
    assert_eq!((of_step(4).get("a"), of_step(4).get("b")), (Some(&2.5), None));
}

#[test]
fn an_untrained_student_whose_images_are_nan_is_no_end_of_the_run() {
    struct Nan;
    impl Generator for Nan {
        fn generate(&self, z: &Tensor, cond: &Cond, _: &mut Noise) -> Tensor {
            assert_eq!(cond.labels.as_ref().unwrap().size()[1], CLASSES);
            z * f64::NAN
        }
        fn nfe(&self) -> usize {
            1
        }
    }
    let error = distances()(&Nan).unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
}
