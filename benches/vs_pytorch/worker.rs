//! Our side of the comparison: answers requests on standard input.

use crate::limits::Limits;
use crate::protocol::{Job, Kind, Memory, Request, Times};
use crate::{networks, training};
use anyhow::{Context, Result, bail};
use fewstep::libtorch_ext::process;
use serde_json::{Value, json, to_value};
use std::io::{self, BufRead, Write};

/// Repeats a job and returns how long each time took.
pub(crate) type Work = Box<dyn FnMut(u64) -> Result<Vec<f64>>>;

/// Answers requests, a line of JSON each, until standard input ends.
pub(crate) fn serve() -> Result<()> {
    // As every example does at its start.
    process::tune_allocator();
    let mut worker = Worker::default();
    for line in io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?).context("a request that is none")?;
        let answer =
            worker.answer(request).unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

#[derive(Default)]
struct Worker {
    work: Option<Work>,
    base: u64,
}

impl Worker {
    fn answer(&mut self, request: Request) -> Result<Value> {
        match request {
            Request::Hello { threads } => {
                process::set_threads(threads);
                Ok(json!({}))
            }
            Request::Prepare { job } => {
                self.base = memory("VmRSS")?;
                self.work = Some(prepare(&job)?);
                Ok(json!({}))
            }
            Request::Run { iterations } => {
                let work = self.work.as_mut().context("nothing is prepared")?;
                Ok(to_value(Times { seconds: work(iterations)? })?)
            }
            Request::Peak => Ok(to_value(Memory { base: self.base, peak: memory("VmHWM")? })?),
            Request::Limits => Ok(to_value(Limits::measure())?),
            Request::Check { .. } => bail!("only the twin compares"),
        }
    }
}

fn prepare(job: &Job) -> Result<Work> {
    match job.kind {
        Kind::Forward => networks::forward(job),
        Kind::Generate => networks::generate(job),
        Kind::Optimizer => networks::optimizer(job),
        Kind::Teacher | Kind::Cd | Kind::Sid => training::steps(job),
    }
}

/// Bytes of the process's `VmHWM` (peak) or `VmRSS` (now).
fn memory(entry: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("memory is read from /proc/self/status, which Linux has")?;
    let line = status.lines().find_map(|line| line.strip_prefix(entry));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("/proc/self/status has no {entry}"))? * 1024)
}
