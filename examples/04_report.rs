//! One HTML page of a run: results, sample grids over time, curves, configuration.
//!
//! ```text
//! cargo run --release --example 04_report -- runs/quickstart
//! cargo run --release --example 04_report -- runs/mnist-sid --out mnist.html
//! ```
//!
//! Takes the folder that `01_quickstart` or `02_distill` writes, or any folder with the `log.jsonl` of a run, also while the
//! run goes on. Expect one file of a few megabytes that needs no network and nothing beside it.

#![allow(clippy::print_stdout)] // it is a program for people

use anyhow::{Context, Result};
use clap::Parser;
use run_report::Run;
use std::path::PathBuf;

/// Turn a run folder into one self-contained HTML page.
#[derive(Debug, Parser)]
struct Flags {
    /// The folder of the run.
    #[arg(value_name = "RUN_FOLDER")]
    folder: PathBuf,
    /// Where the page goes [default: report.html in the run's folder].
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Flags { folder, out } = Flags::parse();
    let page = Run::read(&folder)?.html()?;
    let out = out.unwrap_or_else(|| folder.join("report.html"));
    std::fs::write(&out, page).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{}", out.display());
    Ok(())
}
