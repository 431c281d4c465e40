//! A disk that fills up under a run.
//!
//! Each test runs itself once more in a process whose disk is really full soon: a file system of 64 KiB where the machine
//! lets us mount one (in a namespace of the process, so that nothing is left behind), else a limit on the size of files.

use crate::saved::{names, steps};
use crate::tiny::{model, network, pictures, plain_config, trainer};
use crate::toy::Toy;
use fewstep::diffusion_core::Error as CoreError;
use fewstep::distill_trainer::Error;
use fewstep::distill_trainer::observer::JsonLines;
use fewstep::prelude::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the small disk is, in the process that has one.
const DISK: &str = "FEWSTEP_SMALL_DISK";

const SMALL_DISK: &str = r#"
for isolated in "unshare --mount" "unshare --mount --map-root-user"; do
    if $isolated mount -t tmpfs -o size=64k tmpfs "$FEWSTEP_SMALL_DISK" 2>/dev/null; then
        exec $isolated sh -c 'mount -t tmpfs -o size=64k tmpfs "$FEWSTEP_SMALL_DISK" && exec "$@"' sh "$@"
    fi
done
trap '' XFSZ
ulimit -f 64
exec "$@"
"#;

/// Runs `story` with the path of a small disk.
fn on_a_small_disk(test: &str, story: fn(&Path)) {
    if let Some(disk) = std::env::var_os(DISK) {
        return story(&PathBuf::from(disk));
    }
    let disk = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", SMALL_DISK, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("full_disk::{test}"), "--nocapture"])
        .env(DISK, disk.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

/// The progress at which the run failed, and the file that could not be written.
fn what_was_full(error: Error) -> (u64, PathBuf) {
    let Error::At { progress, source } = error else { panic!("{error}") };
    let (path, reason) = match *source {
        Error::Core(CoreError::Io { path, reason, .. })
        | Error::Folder { path, source: reason } => (path, reason),
        other => panic!("{other}"),
    };
    let full = matches!(reason.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge);
    assert!(full, "{}: {reason}", path.display());
    (progress.step, path)
}

/// The step of the checkpoint `partial-STEP/…`.
fn saved_step(path: &Path) -> u64 {
    let folder = path.iter().next().unwrap().to_str().unwrap();
    folder.strip_prefix("partial-").unwrap().parse().unwrap()
}

#[test]
fn the_checkpoints_before_it_survive() {
    on_a_small_disk("the_checkpoints_before_it_survive", |disk| {
        let folder = disk.join("checkpoints");
        let config = TrainConfig { checkpoint_kimg: 0.004, ..plain_config(100) };
        let growing = || Toy { growth: 1024, ..Toy::new() }; // each step 4 KiB more than the one before
        let error = trainer(growing(), config.clone(), &folder).run(&mut pictures()).unwrap_err();
        let (step, path) = what_was_full(error);
        let failed = saved_step(path.strip_prefix(&folder).unwrap());
        assert!([0, 1].contains(&(step - failed)), "found out at step {step}, not at {failed}");
        assert!(failed > 2, "the disk was full before it could be filled");
        assert_eq!(names(&folder), steps(1..failed), "older checkpoints, and nothing else");

        let mut resumed = trainer(growing(), config, &folder);
        assert!(resumed.resume(&mut pictures()).unwrap().is_empty());
        assert_eq!(resumed.progress().step, failed - 1);
    });
}

#[test]
fn a_log_that_cannot_grow_ends_the_run_with_its_weights_saved() {
    on_a_small_disk("a_log_that_cannot_grow_ends_the_run_with_its_weights_saved", |disk| {
        let log = disk.join("log.jsonl");
        let elsewhere = tempfile::tempdir().unwrap();
        let mut trainer = trainer(Toy::new(), plain_config(2000), elsewhere.path())
            .observe(JsonLines::create(&log).unwrap());
        let (failed, path) = what_was_full(trainer.run(&mut pictures()).unwrap_err());
        assert_eq!(path, log);
        assert_eq!(names(elsewhere.path()).pop(), steps([failed]).pop());
    });
}

#[test]
fn a_model_that_does_not_fit_leaves_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    unet::save(&path, network(1).parameters(), &model()).unwrap();
    let before = std::fs::read(&path).unwrap();
    // Where the new file is written first, every write says that the disk is full.
    std::os::unix::fs::symlink("/dev/full", folder.path().join("model.partial")).unwrap();
    let error = unet::save(&path, network(2).parameters(), &model()).unwrap_err();
    let unet::Error::Core(CoreError::Io { path: named, reason, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((named, reason.kind()), (path.clone(), ErrorKind::StorageFull));
    assert!(std::fs::read(&path).unwrap() == before, "the old model was damaged");
}
