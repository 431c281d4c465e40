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
                self.base = known(process::rss())?;
                self.work = Some(prepare(&job)?);
                Ok(json!({}))
            }
            Request::Run { iterations } => {
                let work = self.work.as_mut().context("nothing is prepared")?;
                Ok(to_value(Times { seconds: work(iterations)? })?)
            }
            Request::Peak => {
                Ok(to_value(Memory { base: self.base, peak: known(process::peak_rss())? })?)
            }
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

/// What was measured of the process's memory, if the system says it.
fn known(bytes: Option<u64>) -> Result<u64> {
    bytes.context("the system does not say how much memory the process has")
}
