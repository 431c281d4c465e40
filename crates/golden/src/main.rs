//! The command line of the replayer.

use anyhow::Context;
use clap::Parser;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// The cases of the repository.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");

/// Replays reference cases of the official implementations and compares the results.
///
/// Finds every *.safetensors file below the given folders, picks the replayer with the longest stem that the file name
/// begins with, computes the results from the inputs, draws and configuration in the file, and prints one line a case:
///
///   ok|FAIL|skip NAME worst-tensor error tolerance
///
/// then `N ok, M failed, K skipped`. The error is max|a-b| / max|b| of the worst tensor; integers must be equal. A file
/// that cannot be read or replayed is a FAIL with the reason; a file of an unknown family is a skip.
///
/// Files of weights (*.pt, *.pth, *.pkl) are cases if they have a twin *.expected.safetensors, which they must equal bit
/// for bit, or stand in the EXPECT.json of their folder; the line then says with which reason they were refused.
///
/// Exit status: 0 if no case failed, 1 otherwise.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// Folders to search, or single files; without any, the repository's `tests/golden`.
    #[arg(value_name = "DIR", default_value = REPOSITORY, hide_default_value = true)]
    paths: Vec<PathBuf>,
    /// Count skipped cases as failures.
    #[arg(long)]
    strict: bool,
    /// List the known stems and exit.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { paths, strict, list } = Arguments::parse();
    let mut report = io::stdout().lock();
    if list {
        for (stem, _) in golden::REPLAYERS {
            writeln!(report, "{stem}").context("cannot list the stems")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let files = golden::find_cases(&paths)?;
    std::panic::set_hook(Box::new(|_| ())); // a panic is a line of the report
    let summary = golden::run(&files, &mut report)?;
    Ok(if summary.is_success(strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
