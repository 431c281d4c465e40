//! Runs that are killed again and again end where the uninterrupted one does, to the bit.
//!
//! Each method runs in a process that writes a checkpoint after every step, and is ended by SIGKILL at random moments:
//! after a random step and a random part of the next ones, so that many kills hit a checkpoint that is being written.
//! A kill is no power failure: what the kernel has taken reaches the disk even if it was not flushed.

use crate::child::{Running, say_step};
use crate::saved::{content, names};
use crate::tiny::{build, config, pictures, trainer};
use crate::watch::on_step;
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::EmaConfig;
use fewstep::prelude::*;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const METHOD: &str = "FEWSTEP_KILLED_METHOD";
const FOLDER: &str = "FEWSTEP_KILLED_FOLDER";
const SIGKILL: i32 = 9;
const SEED: u64 = 20;
const N_STEPS: usize = 24;
const N_KILLS: usize = 4;

/// Runs a method to its end, from the newest checkpoint in `folder` if there is one.
fn run(entry: &MethodInfo, folder: &Path, after_step: fn(u64)) {
    let mut config = config(entry, N_STEPS);
    config.checkpoint_kimg = config.tick_kimg;
    config.tick_kimg *= 3.0; // most checkpoints hold unfinished means of logged scalars
    for role in config.roles.values_mut() {
        role.ema.get_or_insert(EmaConfig::Constant { decay: 0.9 });
    }
    let observer = on_step(move |progress| after_step(progress.step));
    let mut trainer = trainer(build(entry), config, folder).observe(observer);
    let mut data = pictures();
    assert!(trainer.resume(&mut data).unwrap().is_empty(), "a kill damaged a checkpoint");
    assert_eq!(trainer.run(&mut data).unwrap(), Outcome::Finished);
}

/// What the killed process runs; does nothing in the test program itself.
#[test]
fn in_a_process_of_its_own() {
    if let (Ok(name), Some(folder)) = (std::env::var(METHOD), std::env::var_os(FOLDER)) {
        run(method(&name).unwrap(), Path::new(&folder), say_step);
    }
}

fn start(entry: &MethodInfo, folder: &Path) -> Running {
    let variables = [(METHOD, entry.name), (FOLDER, folder.to_str().unwrap())];
    Running::start("killed::in_a_process_of_its_own", &variables)
}

/// Kills a run at a random moment; `None` if it ended before. Says whether a checkpoint was left half written.
fn kill(entry: &MethodInfo, folder: &Path, noise: &mut Noise) -> Option<bool> {
    let random = noise.uniform(&[2]);
    let steps = 1 + (random.double_value(&[0]) * 3.0) as u32;
    let mut process = start(entry, folder);
    process.next_step()?;
    let started = Instant::now();
    for _ in 1..steps {
        process.next_step()?;
    }
    let step = started.elapsed() / steps;
    sleep(step.min(Duration::from_millis(50)).mul_f64(2.0 * random.double_value(&[1])));
    let killed = process.kill().signal() == Some(SIGKILL);
    killed.then(|| names(folder).iter().any(|name| name.starts_with("partial-")))
}

#[test]
fn a_killed_run_ends_where_the_uninterrupted_one_does() {
    let mut noise = Noise::new(SEED);
    let mut half_written = Vec::new();
    for entry in METHODS {
        let [whole, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        run(entry, whole.path(), |_| ());
        let kills = (0..N_KILLS).map_while(|_| kill(entry, killed.path(), &mut noise));
        half_written.extend(kills);
        assert!(start(entry, killed.path()).end().success());

        let end = N_STEPS as u64;
        let (whole, killed) = (content(whole.path(), end), content(killed.path(), end));
        assert!(whole.0 == killed.0, "`{}`: weights, averages or optimizers differ", entry.name);
        assert_eq!(whole.1, killed.1, "`{}`: counters or values differ", entry.name);
    }
    let hits = half_written.iter().filter(|hit| **hit).count();
    println!("seed {SEED}: {hits} of {} kills hit a write", half_written.len());
    assert!(half_written.len() >= 2 * METHODS.len(), "the runs end before they can be killed");
    assert!(hits > 0, "no kill hit a checkpoint that was being written");
}
