//! `cargo xtask launch`: one program in several processes of this machine that train together.

mod process;

use crate::error::{Error, Result};
use process::{Ended, Process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the others have to notice that a process is gone and to say so, before they are killed.
const GRACE: Duration = Duration::from_secs(5);
/// For ever, as far as a run is concerned.
const UNTIL_SOMETHING_HAPPENS: Duration = Duration::from_secs(1 << 30);

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Plan {
    n_processes: usize,
    /// Seconds a process waits for the others; the program's default if there is none.
    timeout_s: Option<f64>,
    program: String,
    arguments: Vec<String>,
}

/// What happens while processes run.
enum Event {
    Ended(Ended),
    /// A signal to pass on.
    Signal(i32),
}

/// Starts the processes, shows what they print, and ends when all have ended.
pub(crate) fn run(options: &[String]) -> Result<()> {
    let plan = Plan::parse(options)?;
    let (sender, events) = channel();
    pass_on_signals(sender.clone())?;
    let port = free_port()?;
    let mut processes = Vec::new();
    for rank in 0..plan.n_processes {
        match plan.start(rank, port, &sender) {
            Ok(process) => processes.push(process),
            Err(error) => {
                processes.iter_mut().for_each(|process: &mut Process| process.signal("KILL"));
                return Err(error);
            }
        }
    }
    watch(&mut processes, &events)
}

/// Waits for all; the first failure decides the result.
fn watch(processes: &mut [Process], events: &Receiver<Event>) -> Result<()> {
    let (mut failure, mut deadline, mut asked_to_end) = (None, None, false);
    while processes.iter().any(Process::is_running) {
        let patience = deadline.map_or(UNTIL_SOMETHING_HAPPENS, |end: Instant| {
            end.saturating_duration_since(Instant::now())
        });
        match events.recv_timeout(patience) {
            Ok(Event::Signal(signal)) => {
                asked_to_end = true;
                let name = if signal == SIGTERM { "TERM" } else { "INT" };
                processes.iter().for_each(|process| process.signal(name));
            }
            Ok(Event::Ended(Ended { rank, status })) => {
                processes[rank].ended();
                if !status.success() && failure.is_none() {
                    failure = Some((rank, status));
                    let in_order = asked_to_end && matches!(code(status), 130 | 143);
                    deadline = (!in_order).then(|| Instant::now() + GRACE);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                processes.iter().for_each(|process| process.signal("KILL"));
                deadline = None;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    processes.iter_mut().for_each(Process::finish_output);
    failure.map_or(Ok(()), |(rank, status)| {
        Err(Error::Process { rank, status: status.to_string(), code: code(status) })
    })
}

/// The code that a shell would report.
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn pass_on_signals(sender: Sender<Event>) -> Result<()> {
    let signals = Signals::new([SIGINT, SIGTERM]);
    let mut signals = signals.map_err(Error::io("listen for", Path::new("signals")))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// A port that nobody uses now; it is free again until the first process takes it.
fn free_port() -> Result<u16> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(port.map_err(Error::io("find a free port of", Path::new("127.0.0.1")))?.port())
}

impl Plan {
    fn parse(options: &[String]) -> Result<Self> {
        let wrong = |message: &str| Err(Error::Usage(message.to_owned()));
        let (mut n_processes, mut timeout_s) = (None, None);
        let mut rest = options.iter();
        let program = loop {
            match rest.next().map(String::as_str) {
                Some("--nproc") => {
                    n_processes = rest.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                }
                Some("--timeout") => {
                    timeout_s = rest.next().and_then(|s| s.parse().ok()).filter(|&s: &f64| s > 0.0);
                    if timeout_s.is_none() {
                        return wrong("`--timeout` takes a positive number of seconds");
                    }
                }
                Some("--") => break rest.next(),
                Some(other) => {
                    return Err(Error::UnknownOption {
                        command: "launch".into(),
                        option: other.into(),
                    });
                }
                None => break None,
            }
        };
        let (Some(n_processes), Some(program)) = (n_processes, program) else {
            return wrong("launch needs `--nproc N` with N of at least 1, and `-- PROGRAM ARGS…`");
        };
        Ok(Self {
            n_processes,
            timeout_s,
            program: program.clone(),
            arguments: rest.cloned().collect(),
        })
    }

    fn start(&self, rank: usize, port: u16, events: &Sender<Event>) -> Result<Process> {
        let mut environment = vec![
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", rank.to_string()),
            ("WORLD_SIZE", self.n_processes.to_string()),
            ("LOCAL_WORLD_SIZE", self.n_processes.to_string()),
            ("MASTER_ADDR", "127.0.0.1".to_owned()),
            ("MASTER_PORT", port.to_string()),
        ];
        if let Some(timeout_s) = self.timeout_s {
            environment.push(("FEWSTEP_TIMEOUT_S", timeout_s.to_string()));
        }
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            environment.push(("OMP_NUM_THREADS", (cores / self.n_processes).max(1).to_string()));
        }
        let events = events.clone();
        let tell = move |ended| drop(events.send(Event::Ended(ended)));
        Process::start(rank, &self.program, &self.arguments, environment, tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_follows_the_dashes_is_the_program() {
        let plan =
            Plan::parse(&strings(&["--nproc", "3", "--timeout", "2.5", "--", "a", "--", "--x"]))
                .unwrap();
        let arguments = strings(&["--", "--x"]);
        assert_eq!(
            plan,
            Plan { n_processes: 3, timeout_s: Some(2.5), program: "a".into(), arguments }
        );
    }

    #[test]
    fn a_senseless_command_line_is_refused() {
        for words in [
            &["--nproc", "0", "--", "a"][..],
            &["--", "a"],
            &["--nproc", "2"],
            &["--nproc", "2", "--"],
        ] {
            assert!(matches!(Plan::parse(&strings(words)), Err(Error::Usage(_))), "{words:?}");
        }
        let soon = Plan::parse(&strings(&["--nproc", "2", "--timeout", "soon", "--", "a"]));
        assert!(matches!(soon, Err(Error::Usage(message)) if message.contains("--timeout")));
        let option = Plan::parse(&strings(&["--nnodes", "2", "--", "a"]));
        assert!(matches!(option, Err(Error::UnknownOption { option, .. }) if option == "--nnodes"));
    }
}
