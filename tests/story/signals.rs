//! What a run does when it is asked to end by a signal.

use crate::child::{Running, say_step};
use crate::saved::{names, steps};
use crate::tiny::{pictures, plain_config, trainer};
use crate::toy::Toy;
use crate::watch::on_step;
use fewstep::prelude::*;
use std::path::Path;
use std::time::Duration;

const FOLDER: &str = "FEWSTEP_SIGNALED_FOLDER";
/// Set if the second step is to last for ever.
const STUCK: &str = "FEWSTEP_SIGNALED_STUCK";

/// What the signaled process runs; does nothing in the test program itself.
#[test]
fn in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let stuck = std::env::var_os(STUCK).is_some();
    let interrupt = Interrupt::on_signals().unwrap();
    let asked = interrupt.clone();
    let endless = TrainConfig { checkpoint_kimg: 1e6, tick_kimg: 1e6, ..plain_config(100_000_000) };
    let mut trainer = trainer(Toy::new(), endless, Path::new(&folder))
        .interrupted_by(interrupt.clone())
        .observe(on_step(move |progress| {
            say_step(progress.step);
            std::thread::sleep(Duration::from_millis(1));
            if stuck && progress.step == 2 {
                wait_for_ever(&asked);
            }
        }));
    assert_eq!(trainer.run(&mut pictures()).unwrap(), Outcome::Interrupted);
    say_step(trainer.progress().step);
    std::process::exit(interrupt.exit_code());
}

/// Says `step 1000` once a signal has come, and goes on waiting.
fn wait_for_ever(asked: &Interrupt) -> ! {
    loop {
        std::thread::sleep(Duration::from_millis(1));
        if asked.requested() {
            say_step(1_000);
        }
    }
}

fn start(folder: &Path, stuck: bool) -> Running {
    let mut variables = vec![(FOLDER, folder.to_str().unwrap())];
    if stuck {
        variables.push((STUCK, "1"));
    }
    let mut process = Running::start("signals::in_a_process_of_its_own", &variables);
    assert_eq!((process.next_step(), process.next_step()), (Some(1), Some(2)));
    process
}

#[test]
fn a_signal_ends_the_run_after_its_step_with_a_checkpoint() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = start(folder.path(), false);
        process.signal(signal);
        let mut last = 0;
        while let Some(step) = process.next_step() {
            last = step;
        }
        assert_eq!(process.end().code(), Some(code), "SIG{signal}");
        assert_eq!(names(folder.path()), steps([last]), "SIG{signal}");
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path(), true);
    process.signal("INT");
    assert_eq!(process.next_step(), Some(1_000), "the first signal was not noticed");
    process.signal("TERM");
    assert_eq!(process.end().code(), Some(143));
    assert!(names(folder.path()).is_empty(), "the step was not finished, and is saved");
}
