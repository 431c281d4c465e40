//! A test that runs itself once more in a process of its own.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A process that runs one test of this program and says `step N` after every step.
pub(crate) struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts the test `name`, which finds `variables` in its environment.
    pub(crate) fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Waits for the next step that is done; `None` if the process has ended.
    pub(crate) fn next_step(&mut self) -> Option<u64> {
        let said = |line: String| line.strip_prefix("step ").and_then(|step| step.parse().ok());
        self.lines.by_ref().map(|line| line.unwrap()).find_map(said)
    }

    /// Sends `signal`, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {id}")]).status();
        assert!(sent.unwrap().success(), "signal {signal} could not be sent");
    }

    /// Ends the process with SIGKILL, which no program can catch.
    pub(crate) fn kill(mut self) -> ExitStatus {
        self.process.kill().unwrap();
        self.process.wait().unwrap()
    }

    /// Waits for the end of the process.
    pub(crate) fn end(mut self) -> ExitStatus {
        while self.next_step().is_some() {}
        self.process.wait().unwrap()
    }
}

/// What [`Running::next_step`] hears.
pub(crate) fn say_step(step: u64) {
    println!("\nstep {step}"); // the test harness leaves its own line unfinished
}
