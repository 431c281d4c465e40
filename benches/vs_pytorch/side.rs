//! A process of one side, asked and answering line by line.

use crate::protocol::{Memory, Request, Times};
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How processes of both sides are started.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) python: PathBuf,
    /// The longest that an answer may take; compilation is part of one.
    pub(crate) patience: Duration,
    pub(crate) verbose: bool,
}

impl Launcher {
    /// This program as a worker.
    pub(crate) fn ours(&self, threads: usize) -> Result<Side> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--worker");
        let mut side = self.start("fewstep", command, threads)?;
        side.ask::<serde_json::Value>(&Request::Hello { threads })?;
        Ok(side)
    }

    /// The twin.
    pub(crate) fn twin(&self, threads: usize) -> Result<Side> {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "pytorch_twin"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/benches"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Cargo puts our libtorch there; PyTorch brings its own.
            .env_remove("LD_LIBRARY_PATH");
        self.start("the PyTorch twin", command, threads)
    }

    fn start(&self, name: &'static str, mut command: Command, threads: usize) -> Result<Side> {
        command
            .env("OMP_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if self.verbose { Stdio::inherit() } else { Stdio::null() });
        let mut child =
            command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        let (requests, output) = (child.stdin.take(), child.stdout.take().context("a pipe")?);
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(|line| line.ok()) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Side { name, child, requests, answers, patience: self.patience })
    }
}

/// A running process; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Side {
    name: &'static str,
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    patience: Duration,
}

impl Side {
    /// Sends a request and waits for the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T> {
        let name = self.name;
        let pipe = self.requests.as_mut().context("the process has ended")?;
        let sent = writeln!(pipe, "{}", serde_json::to_string(request)?);
        let ended = || format!("{name} has ended; `--verbose` shows what it said");
        sent.with_context(ended)?;
        let line = match self.answers.recv_timeout(self.patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                bail!("{name} did not answer within {} s", self.patience.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => bail!(ended()),
        };
        let answer: serde_json::Value = serde_json::from_str(&line)
            .with_context(|| format!("{name} answered what is no JSON: {line}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{name}: {}", error.as_str().unwrap_or("unknown error"));
        }
        Ok(serde_json::from_value(answer)?)
    }

    /// Repeats the prepared job.
    pub(crate) fn run(&mut self, iterations: u64) -> Result<Vec<f64>> {
        Ok(self.ask::<Times>(&Request::Run { iterations })?.seconds)
    }

    pub(crate) fn memory(&mut self) -> Result<Memory> {
        self.ask(&Request::Peak)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
