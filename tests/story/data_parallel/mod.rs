//! Runs of two processes: this binary starts itself again as the processes.

mod processes;
mod ruler;
mod scenes;

use crate::saved::{checkpoint, content, names, steps, tensors};
use crate::tiny::{build, config, pictures, trainer};
use crate::watch::Recorder;
use fewstep::diffusion_core::tensor_file;
use fewstep::distill_trainer::Error;
use fewstep::prelude::*;
use processes::{lasting, played, start, succeed};
use ruler::{Ruler, measuring};
use std::collections::BTreeMap;
use std::path::Path;

/// A process of a run; nothing when the tests themselves are run.
#[test]
fn process() {
    scenes::play();
}

/// Weights, method state and what was reported, as every process saw them at the end.
fn left(folder: &Path, rank: usize) -> BTreeMap<String, Tensor> {
    let path = folder.join(format!("rank-{rank}.safetensors"));
    tensor_file::read(&path).unwrap().tensors.into_iter().collect()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn two_processes_take_the_steps_of_one() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let recorder = Recorder::default();
    let mut alone = trainer(Ruler::new(0), measuring(), one.path()).observe(recorder.clone());
    assert_eq!(alone.run(&mut pictures()).unwrap(), Outcome::Finished);
    succeed(start("ruler", two.path()));

    assert_eq!(names(one.path()), steps([2, 4, 6]));
    assert_eq!(names(two.path()), names_with_ranks([2, 4, 6]));
    for step in [2, 4, 6] {
        let (expected, found) = (tensors(one.path(), step, ""), tensors(two.path(), step, ""));
        assert!(expected.keys().eq(found.keys()), "{:?}", found.keys());
        for (name, expected) in &expected {
            let difference = largest_difference(&found[name], expected);
            let scale = expected.abs().max().double_value(&[]);
            assert!(difference <= 2e-6 * scale, "step {step}, {name}: off by {difference:e}");
        }
    }
    let reported = left(two.path(), 0).remove("reported").unwrap();
    let expected = Tensor::from_slice(&ruler::reported(&recorder));
    assert!(largest_difference(&reported, &expected) < 1e-6, "{reported} is not {expected}");
}

#[test]
fn all_processes_hold_the_same_bits() {
    for scene in ["ruler", "sid", "cd"] {
        let folder = tempfile::tempdir().unwrap();
        succeed(start(scene, folder.path()));
        let (zero, one) = (left(folder.path(), 0), left(folder.path(), 1));
        for (name, value) in one {
            assert_eq!(value, zero[&name], "{scene}: {name}");
        }
    }
}

#[test]
fn a_distributed_run_resumes_to_the_bit_after_one_process_was_interrupted() {
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    succeed(start("sid", whole.path()));
    succeed(start("sid-interrupted", parts.path()));
    assert_eq!(names(parts.path()), names_with_ranks([2, 3]));
    succeed(start("sid", parts.path()));
    let (whole, parts) = (content(whole.path(), 6), content(parts.path(), 6));
    assert!(whole.0 == parts.0, "weights, averages or optimizers differ");
    assert_eq!(whole.1, parts.1, "counters, noise or place in the data differ");
}

/// Checkpoints of these steps, and what the processes left beside them.
fn names_with_ranks(of: impl IntoIterator<Item = u64>) -> Vec<String> {
    let ranks = (0..2).map(|rank| format!("rank-{rank}.safetensors"));
    ranks.chain(steps(of)).collect()
}

#[test]
fn the_first_process_measures_and_keeps_the_best_for_all() {
    let folder = tempfile::tempdir().unwrap();
    succeed(start("judged", folder.path()));
    assert_eq!(names(folder.path()), names_with_ranks([2, 6]), "of 2 and 4, equally far from 3");
}

#[test]
fn another_number_of_processes_is_refused() {
    let [two, one] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    succeed(start("sid-interrupted", two.path()));
    let entry = method("sid").unwrap();
    let mut alone = trainer(build(entry), config(entry, 6), two.path());
    let error = alone.resume(&mut pictures()).unwrap_err();
    let Error::UnfitCheckpoint { reason, .. } = error else { panic!("{error}") };
    assert!(matches!(*reason, Error::ConfigDrift(drift) if drift == ["processes was 2, now 1"]));

    let mut alone = trainer(build(entry), config(entry, 2), one.path());
    alone.run(&mut pictures()).unwrap();
    for (_, said) in played(start("sid", one.path())) {
        assert!(said.contains("processes was 1, now 2"), "{said}");
    }
}

#[test]
fn a_killed_process_ends_the_others_with_an_error_and_the_last_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    let ended = played(start("sid-killed", folder.path()));
    assert!(ended.iter().all(|(status, _)| !status.success()));
    let said = &ended[0].1;
    assert!(said.contains("after 8 images: rank 0 of 2: all_reduce failed"), "{said}");
    assert!(said.contains("time-out of 20 s"), "{said}");
    assert_eq!(names(folder.path()), steps([2]));
    succeed(start("sid", folder.path()));
    assert!(checkpoint(folder.path(), 6).exists());
}

#[test]
fn what_cannot_run_together_is_refused_by_all() {
    let expected = [
        ("odd-batch", "`batch` = 5: must be a multiple of the number of processes"),
        ("other-rate", "differ in the settings of the run"),
        ("other-shape", "differ in the shapes of the networks"),
        ("other-place", "differ in the progress and the place in the data"),
    ];
    for (scene, message) in expected {
        let folder = tempfile::tempdir().unwrap();
        for (status, said) in played(start(scene, folder.path())) {
            assert!(!status.success() && said.contains(message), "{scene}: {said}");
        }
    }
}

#[test]
fn a_failed_report_ends_all_after_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let ended = played(start("bad-report", folder.path()));
    for ((status, said), message) in ended.iter().zip(["no ink", "process 0 failed to report"]) {
        assert!(!status.success() && said.contains(message), "{said}");
    }
    assert_eq!(names(folder.path()), steps([2, 3]));
}

#[test]
fn an_observer_that_stops_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    succeed(start("stopped", folder.path()));
    assert_eq!(names(folder.path()), names_with_ranks([2, 3]));
}

#[test]
fn a_value_that_is_not_finite_in_one_process_is_skipped_by_all() {
    let folder = tempfile::tempdir().unwrap();
    succeed(start("poisoned", folder.path()));
    let (zero, one) = (left(folder.path(), 0), left(folder.path(), 1));
    assert_eq!(zero["w"], one["w"]);
    assert_eq!(zero["w"].isfinite().all().int64_value(&[]), 1);
}

#[test]
fn the_launcher_starts_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let launched = lasting(std::process::Command::new(cargo), "ruler", folder.path())
        .args(["run", "--quiet", "--package", "xtask", "--", "launch", "--nproc", "2", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", processes::NAME, "--nocapture"])
        .output()
        .unwrap();
    assert!(launched.status.success(), "{}", String::from_utf8_lossy(&launched.stderr));
    let said = String::from_utf8_lossy(&launched.stdout);
    assert!(said.contains("[0] test ") && said.contains("[1] test "), "{said}");
    assert_eq!(left(folder.path(), 0)["w"], left(folder.path(), 1)["w"]);
}
