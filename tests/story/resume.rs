//! A run that was cut short goes on as if nothing had happened, or says why it cannot.

use crate::saved::{checkpoint, content, names, steps, truncate};
use crate::tiny::{BATCH, build, config, pictures, trainer};
use crate::watch::{Recorder, on_step};
use fewstep::datasets::{Loader, Shapes};
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::Error;
use fewstep::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const N_STEPS: usize = 7;

/// A run in `folder` that is resumed if there is a checkpoint, and interrupted after step `last` if there is one.
fn run(
    entry: &MethodInfo,
    folder: &Path,
    last: Option<u64>,
    micro_batch: Option<usize>,
) -> (Outcome, Recorder) {
    let (interrupt, recorder) = (Interrupt::default(), Recorder::default());
    let request = interrupt.clone();
    let config = TrainConfig { micro_batch, ..config(entry, N_STEPS) };
    let mut trainer = trainer(build(entry), config, folder)
        .interrupted_by(interrupt)
        .observe(recorder.clone())
        .observe(on_step(move |progress| {
            if Some(progress.step) == last {
                request.request();
            }
        }));
    let mut data = pictures();
    assert!(trainer.resume(&mut data).unwrap().is_empty());
    (trainer.run(&mut data).unwrap(), recorder)
}

#[test]
fn an_interrupted_run_ends_where_the_uninterrupted_one_does() {
    let in_parts = [(method("sid").unwrap(), Some(3))];
    for (entry, images) in METHODS.iter().map(|entry| (entry, None)).chain(in_parts) {
        let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (outcome, all) = run(entry, whole.path(), None, images);
        assert_eq!(outcome, Outcome::Finished);
        let (outcome, before) = run(entry, parts.path(), Some(3), images);
        assert_eq!(outcome, Outcome::Interrupted);
        assert_eq!(names(parts.path()), steps([2, 3]), "a checkpoint is due after an interrupt");
        let (outcome, after) = run(entry, parts.path(), None, images);
        assert_eq!(outcome, Outcome::Finished);

        let end = N_STEPS as u64;
        let (whole, parts) = (content(whole.path(), end), content(parts.path(), end));
        assert!(whole.0 == parts.0, "`{}`: weights, averages or optimizers differ", entry.name);
        assert_eq!(whole.1, parts.1, "`{}`: counters or values differ", entry.name);
        assert_eq!(all.bits(), [before.bits(), after.bits()].concat(), "`{}`: logs", entry.name);
    }
}

/// Three checkpoints, of the steps 2, 4 and 6, of a finished run.
fn finished(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let entry = method(name).unwrap();
    let outcome = trainer(build(entry), config(entry, 6), folder.path()).run(&mut pictures());
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    folder
}

fn refusal(name: &str, folder: &Path, change: impl FnOnce(&mut TrainConfig)) -> Error {
    let entry = method(name).unwrap();
    let mut config = config(entry, 6);
    change(&mut config);
    trainer(build(entry), config, folder).resume(&mut pictures()).unwrap_err()
}

#[test]
fn another_configuration_is_refused_by_the_name_of_the_field() {
    let folder = finished("teacher");
    let error = refusal("teacher", folder.path(), |config| {
        config.batch = 2 * BATCH;
        config.roles.get_mut("network").unwrap().optimizer.lr = 0.5;
        config.kimg = 99.0; // a run may be made longer
    });
    let Error::ConfigDrift(drift) = error else { panic!("{error}") };
    let expected = ["batch was 4, now 8", "roles.network.optimizer.lr was 0.001, now 0.5"];
    assert_eq!(drift, expected);
}

#[test]
fn another_data_set_is_refused() {
    let folder = finished("teacher");
    let entry = method("teacher").unwrap();
    let mut trainer = trainer(build(entry), config(entry, 6), folder.path());
    let mut other = Loader::new(Arc::new(Shapes::new(8, 21, 0)), 5).unwrap().with_flip(true);
    let message = trainer.resume(&mut other).unwrap_err().to_string();
    assert!(message.contains("length 20") && message.contains("21"), "{message}");
}

#[test]
fn a_checkpoint_of_another_method_is_refused() {
    for (saved, now) in [("cd", "ct"), ("ect", "cd"), ("cd", "ect"), ("teacher", "sid")] {
        let folder = finished(saved);
        let error = refusal(now, folder.path(), |_| ());
        let expected = format!("method was `{saved}`, now `{now}`");
        assert!(matches!(&error, Error::ConfigDrift(drift) if *drift == [expected]), "{error}");
    }
}

#[test]
fn another_option_of_the_method_is_refused_by_name() {
    let folder = finished("ect");
    let entry = method("ect").unwrap();
    let teacher = crate::tiny::network(1);
    let options = "c = 0.25".parse().unwrap();
    let changed = (entry.build)(&Ingredients::distill(&teacher), &options).unwrap();
    let mut trainer = trainer(changed, config(entry, 6), folder.path());
    let error = trainer.resume(&mut pictures()).unwrap_err();
    let Error::ConfigDrift(drift) = error else { panic!("{error}") };
    assert_eq!(drift, ["options.c was 0.0, now 0.25"]);
}

#[test]
fn the_newest_good_checkpoint_is_used_and_the_damaged_one_reported() {
    let entry = method("teacher").unwrap();
    let folder = finished("teacher");
    let whole = content(folder.path(), 6);
    let damaged = checkpoint(folder.path(), 6).join("state.safetensors");
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();

    let mut trainer = trainer(build(entry), config(entry, 6), folder.path());
    let mut data = pictures();
    let passed_over = trainer.resume(&mut data).unwrap();
    assert!(matches!(&passed_over[..], [Error::Checkpoint { path, .. }] if *path == damaged));
    assert_eq!(trainer.progress().step, 4);
    assert_eq!(trainer.run(&mut data).unwrap(), Outcome::Finished);
    assert!(content(folder.path(), 6) == whole, "the repeated steps differ from the first ones");
}

#[test]
fn a_damaged_checkpoint_without_an_older_one_is_an_error_that_names_it() {
    for file in ["state.safetensors", "manifest.json"] {
        let folder = finished("teacher");
        for step in [2, 4] {
            std::fs::remove_dir_all(checkpoint(folder.path(), step)).unwrap();
        }
        let path = checkpoint(folder.path(), 6).join(file);
        truncate(&path);
        let error = refusal("teacher", folder.path(), |_| ());
        assert!(
            matches!(&error, Error::Checkpoint { path: named, .. } if *named == path),
            "{error}"
        );
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_run_without_checkpoints_starts_from_zero() {
    let folder = tempfile::tempdir().unwrap();
    let entry = method("teacher").unwrap();
    let mut trainer = trainer(build(entry), config(entry, 6), folder.path());
    assert!(trainer.resume(&mut pictures()).unwrap().is_empty());
    assert_eq!(trainer.progress().step, 0);
}
