//! One of the processes.

use crate::error::{Error, Result};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

/// How a process ended.
pub(super) struct Ended {
    pub(super) rank: usize,
    pub(super) status: ExitStatus,
}

/// A process whose output is shown line by line.
pub(super) struct Process {
    /// Its number in the system, as long as it runs.
    id: Option<u32>,
    output: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it in a process group of its own, so that a Ctrl-C of the terminal reaches it only once, passed on.
    pub(super) fn start(
        rank: usize,
        program: &str,
        arguments: &[String],
        environment: Vec<(&str, String)>,
        tell: impl FnOnce(Ended) + Send + 'static,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("start", Path::new(program)))?;
        let show_out = child
            .stdout
            .take()
            .map(|out| thread::spawn(move || lines(out, |line| println!("[{rank}] {line}"))));
        let show_err = child
            .stderr
            .take()
            .map(|err| thread::spawn(move || lines(err, |line| eprintln!("[{rank}] {line}"))));
        let id = Some(child.id());
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                tell(Ended { rank, status });
            }
        });
        Ok(Self { id, output: show_out.into_iter().chain(show_err).collect() })
    }

    pub(super) fn is_running(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn ended(&mut self) {
        self.id = None;
    }

    /// Sends a signal, by name, to the process and what it has started. The shell knows `kill` everywhere.
    pub(super) fn signal(&self, name: &str) {
        if let Some(id) = self.id {
            let script = r#"kill -s "$0" -- "-$1""#;
            let _ = Command::new("sh").args(["-c", script, name, &id.to_string()]).status();
        }
    }

    /// Waits until the last line is shown.
    pub(super) fn finish_output(&mut self) {
        for thread in self.output.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Shows what comes, line by line, also if it is not all text.
fn lines(source: impl Read, show: impl Fn(&str)) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    while source.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        show(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
}
