//! A run that was cut short goes on as if nothing had happened, or says why it cannot.

use crate::saved::{checkpoint, content, names, steps, truncate};
use crate::tiny::{BATCH, build, config, pictures, plain_config, trainer};
use crate::toy::Toy;
use crate::watch::{Recorder, on_step};
use fewstep::datasets::{Loader, Shapes};
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::{Error, Resume};
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

/// The fields in which the checkpoint at `path` differs from the run.
fn drift(error: Error, path: &Path) -> Vec<String> {
    let Error::UnfitCheckpoint { path: named, reason } = error else { panic!("{error}") };
    assert_eq!(named, path);
    let Error::ConfigDrift(drift) = *reason else { panic!("{reason}") };
    drift
}

#[test]
fn another_configuration_is_refused_by_the_name_of_the_field() {
    let folder = finished("teacher");
    let error = refusal("teacher", folder.path(), |config| {
        config.batch = 2 * BATCH;
        config.roles.get_mut("network").unwrap().optimizer.lr = 0.5;
        config.kimg = 99.0; // a run may be made longer
    });
    let drift = drift(error, &checkpoint(folder.path(), 6));
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
        assert_eq!(drift(error, &checkpoint(folder.path(), 6)), [expected]);
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
    let drift = drift(error, &checkpoint(folder.path(), 6));
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

#[test]
fn how_to_resume_is_a_choice() {
    let folder = finished("teacher");
    let entry = method("teacher").unwrap();
    let resumed = |folder: &Path, how: Resume| {
        let mut trainer = trainer(build(entry), config(entry, 6), folder);
        let resumed = trainer.resume_by(&how, &mut pictures());
        resumed.map(|resumed| (trainer.progress().step, resumed.from))
    };
    let newest = checkpoint(folder.path(), 6);
    assert_eq!(resumed(folder.path(), Resume::Must).unwrap(), (6, Some(newest)));
    assert_eq!(resumed(folder.path(), Resume::Never).unwrap(), (0, None));
    let older = checkpoint(folder.path(), 2);
    let from = Resume::From(older.clone());
    assert_eq!(resumed(folder.path(), from.clone()).unwrap(), (2, Some(older.clone())));

    let empty = tempfile::tempdir().unwrap();
    assert_eq!(resumed(empty.path(), Resume::Auto).unwrap(), (0, None));
    assert_eq!(resumed(empty.path(), from.clone()).unwrap(), (2, Some(older.clone())));
    let error = resumed(empty.path(), Resume::Must).unwrap_err();
    assert!(matches!(&error, Error::NoCheckpoint { path } if path == empty.path()), "{error}");
    truncate(&older.join("state.safetensors"));
    let error = resumed(folder.path(), from).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { path, .. } if path.starts_with(older)), "{error}");
}

#[test]
fn a_checkpoint_of_another_architecture_is_named() {
    let folder = finished("teacher");
    let entry = method("teacher").unwrap();
    let fields = [("model_channels", 16), ("num_blocks", 2)]; // other shapes, and more tensors
    for (field, value) in fields {
        let mut model = serde_json::to_value(crate::tiny::model()).unwrap();
        model["architecture"][field] = value.into();
        let model: ModelConfig = serde_json::from_value(model).unwrap();
        let network = model.build(&mut Noise::new(1), Device::Cpu).unwrap();
        let method = (entry.build)(&Ingredients::train(&network), &(entry.options)()).unwrap();
        let mut trainer = trainer(method, config(entry, 6), folder.path());
        let message = trainer.resume(&mut pictures()).unwrap_err().to_string();
        assert!(message.contains("step-000000006"), "{message}");
        assert!(message.contains("shape") || message.contains("missing"), "{message}");
    }
}

#[test]
fn reports_keep_their_rhythm_and_their_means_over_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    // Reports every third step, checkpoints every second one.
    let config = |n_steps| TrainConfig { tick_kimg: 0.012, ..plain_config(n_steps) };
    let whole = Recorder::default();
    let mut trainer_of_all =
        Trainer::new(Toy::new(), config(6), Device::Cpu).unwrap().observe(whole.clone());
    trainer_of_all.run(&mut pictures()).unwrap();
    trainer(Toy::new(), config(5), folder.path()).run(&mut pictures()).unwrap();
    std::fs::remove_dir_all(checkpoint(folder.path(), 5)).unwrap(); // as if it had crashed there

    let resumed = Recorder::default();
    let mut trainer = trainer(Toy::new(), config(6), folder.path()).observe(resumed.clone());
    let mut data = pictures();
    trainer.resume(&mut data).unwrap();
    assert_eq!(trainer.progress().step, 4);
    trainer.run(&mut data).unwrap();
    assert_eq!(
        resumed.bits(),
        whole.bits()[1..],
        "the mean of steps 4 to 6, of which 4 was before"
    );
}
