//! Scaling: what a second process gains, beside what a second thread gains.
//!
//! | row | network | images | batch | dominated by |
//! |---|---|---|---|---|
//! | `tiny` | c16, 0.2 M parameters, SiD | 16 × 16 | 16 | overhead of operations |
//! | `small` | c32, 1.8 M parameters, teacher | 32 × 32 | 16 | arithmetic |
//!
//! Every row runs as 1 process with 1 thread, 1 process with 2 threads and 2 processes with 1 thread each, at the same
//! global batch, taking turns for several rounds; the table has the medians of images per second and their ratios to the
//! first. Wants two idle cores: beside a busy neighbor, two threads of one process wait for each other spinning, and the
//! middle row says nothing.
//!
//! `cargo bench --bench data_parallel`, or with `-- ROW ROUNDS STEPS`, such as `-- tiny 5 40`.

#![allow(clippy::print_stdout)] // the table is the result

#[path = "network/build.rs"]
mod build;
#[path = "network/small.rs"]
mod small;
#[path = "network/tiny.rs"]
mod tiny;

use build::build;
use fewstep::datasets::{Loader, Shapes};
use fewstep::distill_trainer::{Observer, Progress};
use fewstep::libtorch_ext::distributed::World;
use fewstep::libtorch_ext::process::{set_threads, tune_allocator};
use fewstep::prelude::*;
use small::small;
use std::cell::Cell;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tiny::tiny;

const BATCH: usize = 16;
const WARM_UP: u64 = 5;
/// Processes, threads of each.
const SHAPES: [(usize, usize); 3] = [(1, 1), (1, 2), (2, 1)];
const ROWS: [&str; 2] = ["tiny", "small"];
/// Tells a process which row to run, with how many threads and steps.
const JOB: &str = "FEWSTEP_BENCH_JOB";

fn main() {
    if let Ok(job) = std::env::var(JOB) {
        return run(&job);
    }
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |index: usize, default| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (rounds, n_steps) = (number(1, 5), number(2, 40));
    println!("| row | processes × threads | images/s | ratio |\n|---|---|---|---|");
    for row in ROWS.into_iter().filter(|row| arguments.first().is_none_or(|only| only == row)) {
        let mut speeds = [const { Vec::new() }; SHAPES.len()];
        for _ in 0..rounds {
            for (speeds, shape) in speeds.iter_mut().zip(SHAPES) {
                speeds.push(images_per_s(row, shape, n_steps));
            }
        }
        let medians = speeds.map(median);
        for ((processes, threads), speed) in SHAPES.into_iter().zip(medians) {
            let ratio = speed / medians[0];
            println!("| `{row}` | {processes} × {threads} | {speed:.1} | {ratio:.2} |");
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Starts the processes and reads what the first one measured.
fn images_per_s(row: &str, (processes, threads): (usize, usize), n_steps: u64) -> f64 {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let start = |rank: usize| {
        Command::new(std::env::current_exe().expect("this program has a path"))
            .env(JOB, format!("{row} {threads} {n_steps}"))
            .env("OMP_NUM_THREADS", threads.to_string())
            .envs([("MASTER_ADDR", "127.0.0.1".to_owned()), ("MASTER_PORT", port.to_string())])
            .envs([("RANK", rank.to_string()), ("LOCAL_RANK", rank.to_string())])
            .env("WORLD_SIZE", processes.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts")
    };
    let started: Vec<_> = (0..processes).map(start).collect();
    let outputs = started.into_iter().map(|child| child.wait_with_output().expect("it ends"));
    let printed: Vec<String> = outputs
        .map(|output| {
            assert!(output.status.success(), "a process failed: {}", output.status);
            String::from_utf8(output.stdout).expect("a number is text")
        })
        .collect();
    printed[0].trim().parse().expect("the first process prints its speed")
}

/// A process: trains and, if it is the first, prints the images per second of all.
fn run(job: &str) {
    let words: Vec<&str> = job.split(' ').collect();
    let [row, threads, n_steps] = words[..] else { panic!("`{job}` is no job") };
    let n_steps: u64 = n_steps.parse().expect("a number");
    tune_allocator();
    set_threads(threads.parse().expect("a number"));
    let (name, config) = if row == "tiny" { ("sid", tiny()) } else { ("teacher", small(12)) };
    let entry = method(name).expect("the method exists");
    let network = build(&config, Device::Cpu);
    let ingredients =
        if name == "sid" { Ingredients::distill(&network) } else { Ingredients::train(&network) };
    let mut run = TrainConfig {
        batch: BATCH,
        kimg: ((WARM_UP + n_steps) * BATCH as u64) as f64 / 1000.0,
        tick_kimg: f64::MAX,
        roles: (entry.short_run)(),
        ..TrainConfig::default()
    };
    run.roles.values_mut().for_each(|role| role.optimizer.lr = 1e-6);

    let world = World::from_env().expect("the processes find each other");
    let warm = Rc::new(Cell::new(Instant::now()));
    let method = (entry.build)(&ingredients, &Default::default()).expect("defaults are valid");
    let mut trainer = Trainer::new(method, run, Device::Cpu)
        .and_then(|trainer| trainer.distributed(world.clone()))
        .expect("the run is valid")
        .observe(Watch(warm.clone()));
    let side = config.img_resolution as u32;
    let mut loader =
        Loader::new(Arc::new(Shapes::new(side, 1000, 0)), 0).expect("there are pictures");
    trainer.run(&mut loader).expect("the run stays finite");
    if world.is_first() {
        println!("{}", (n_steps * BATCH as u64) as f64 / warm.get().elapsed().as_secs_f64());
    }
}

/// Remembers when the last step of the warm-up was done.
struct Watch(Rc<Cell<Instant>>);

impl Observer for Watch {
    fn on_step(&mut self, progress: Progress) {
        if progress.step == WARM_UP {
            self.0.set(Instant::now());
        }
    }
}
