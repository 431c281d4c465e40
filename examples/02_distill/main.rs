//! Trains a teacher and distills it, or distils a trained one, on your own pictures.
//!
//! ```text
//! cargo run --release --example 02_distill -- --help
//! cargo run --release --example 02_distill -- --list-methods
//! cargo run --release --example 02_distill -- --data mnist/ --size 16 --method sid --out runs/mnist-sid
//! cargo run --release --example 02_distill -- --config examples/configs/cifar10.toml --method cd
//! cargo run --release --example 02_distill -- --data mnist/ evaluation.every_kimg=4 evaluation.keep_best=random-FD
//! cargo xtask launch --nproc 2 -- target/release/examples/02_distill --data mnist/   # see docs/distributed.md
//! ```
//!
//! On two CPU cores a small network on 16-pixel pictures takes a quarter of an hour; see `docs/results/`. Expect
//! `teacher/` and `student/` with the saved model, logs (also for `tensorboard --logdir`), curves and sample grids, and
//! `real.png`, `teacher.png`, `student.png`, `report.json` beside them; with `evaluation.keep_best`, also
//! `student/best.safetensors`, the network of the checkpoint that measured best; `04_report` makes one page of it all. Ctrl-C
//! writes a checkpoint and exits 130 (SIGTERM: 143); `--resume` goes on from there. `--dry-run` says beforehand what memory
//! and disk it takes.

#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a program for people

mod evaluation;
mod job;
mod outcome;
mod phase;
mod settings;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use fewstep::libtorch_ext;
use fewstep::prelude::*;
use job::Job;
use settings::{Flags, layered};
use std::ffi::OsString;

fn main() -> Result<()> {
    libtorch_ext::process::tune_allocator();
    run(std::env::args_os())
}

/// Does what the command line says.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let matches = Flags::command().get_matches_from(arguments);
    let flags = Flags::from_arg_matches(&matches)?;
    if flags.action.list_methods {
        for entry in METHODS {
            println!("{:8} {}: {} [{}]", entry.name, entry.title, entry.summary, entry.paper);
        }
        return Ok(());
    }
    let layers =
        layered(&flags, |key| matches.value_source(key) == Some(ValueSource::CommandLine))?;
    let job = Job::new(layers, flags.action)?;
    if job.action.print_config {
        print!("{}", toml::to_string(&job.settings)?);
        return Ok(());
    }
    job.distill()
}
