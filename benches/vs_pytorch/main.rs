//! fewstep against the PyTorch that a user would write, row by row, in one run.
//!
//! `cargo xtask bench-vs-pytorch` runs it; what is compared and how is in `benches/pytorch_twin/README.md`.
#![allow(clippy::print_stdout)]

mod check;
mod comparison;
mod duel;
mod flops;
mod limits;
mod machine;
mod networks;
mod protocol;
mod report;
mod rows;
mod samples;
mod side;
#[path = "../network/small.rs"]
mod small;
#[path = "../network/tiny.rs"]
mod tiny;
mod training;
mod worker;

use anyhow::{Context, Result};
use clap::Parser;
use comparison::Comparison;
use side::Launcher;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Compares fewstep with PyTorch, row by row, both sides taking turns.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only rows whose name contains this, such as `teacher` or `full/`.
    #[arg(long, value_name = "PATTERN", default_value = "")]
    rows: String,
    /// Only this arithmetic.
    #[arg(long, value_name = "f32|bf16|both", default_value = "both")]
    precision: String,
    /// Bursts of each side.
    #[arg(long, value_name = "N", default_value_t = 7)]
    rounds: u64,
    /// Threads of each side; the tiny network always has one.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Two short bursts of each side and nothing compiled: shows that every row works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// A Python with PyTorch 2.11.0.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// The longest that one answer may take, such as the first step of a compiled network.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
    /// The results, as Markdown; JSON goes beside it.
    #[arg(long, value_name = "FILE", default_value = "docs/results/vs_pytorch.md")]
    out: PathBuf,
    /// Shows what the processes of both sides print.
    #[arg(long)]
    verbose: bool,
    #[arg(long, hide = true)]
    worker: bool,
    /// What `cargo bench` passes to every program.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.worker {
        return worker::serve();
    }
    let Some(python) = arguments.python.clone() else {
        println!("skipped: run `cargo xtask bench-vs-pytorch`, which knows where PyTorch is");
        return Ok(());
    };
    let patience = Duration::from_secs(arguments.timeout);
    let launcher = Launcher { python, patience, verbose: arguments.verbose };
    let report = Comparison::new(&arguments, launcher)?.report()?;
    let markdown = report.markdown();
    println!("\n{markdown}");
    write(&arguments.out, &markdown)?;
    write(&arguments.out.with_extension("json"), &serde_json::to_string_pretty(&report)?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
