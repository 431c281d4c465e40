//! The contract between whoever starts the processes and the program.

use crate::{Error, Result};
use std::str::FromStr;
use std::time::Duration;

const TIMEOUT: &str = "FEWSTEP_TIMEOUT_S";
/// Longer than the pictures of a report take, which the other processes wait for. A process that dies is noticed sooner.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// Which process this is and how it finds the others: torchrun's environment variables.
///
/// | variable | meaning |
/// |---|---|
/// | `RANK`, `WORLD_SIZE` | the number of this process, from 0, and how many there are. Without both there is one |
/// | `LOCAL_RANK` | the number among the processes of this machine: its CUDA device |
/// | `MASTER_ADDR`, `MASTER_PORT` | where the store is |
/// | `TORCHELASTIC_USE_AGENT_STORE` | `True` if torchrun serves the store; else process 0 does |
/// | `TORCHELASTIC_RESTART_COUNT` | which attempt this is, if torchrun starts the processes again |
/// | `FEWSTEP_TIMEOUT_S` | the time-out in seconds, 600 if it is not set |
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// The number of this process.
    pub rank: usize,
    /// The number of processes.
    pub size: usize,
    /// The number of this process on its machine.
    pub local_rank: usize,
    /// The host of the store.
    pub host: String,
    /// The port of the store.
    pub port: u16,
    /// Whether somebody else serves the store.
    pub agent_store: bool,
    /// How often the processes were started again.
    pub restarts: u64,
    /// How long a process waits for the others.
    pub timeout: Duration,
}

impl Environment {
    /// Reads the variables of this process; `None` if they describe no more than one process.
    ///
    /// # Errors
    /// [`Error::Environment`] naming the first variable that is missing or makes no sense.
    pub fn read() -> Result<Option<Self>> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the variables with `lookup`.
    ///
    /// # Errors
    /// As [`Environment::read`].
    pub fn from_lookup(lookup: impl Fn(&'static str) -> Option<String>) -> Result<Option<Self>> {
        if lookup("RANK").is_none() && lookup("WORLD_SIZE").is_none() {
            return Ok(None);
        }
        let size =
            required(&lookup, "WORLD_SIZE", "the number of processes, at least 1", |&n| n > 0)?;
        let below = |&n: &usize| n < size;
        let rank = required(&lookup, "RANK", "a number from 0 below WORLD_SIZE", below)?;
        if size == 1 {
            return Ok(None);
        }
        let local = "a number from 0 below WORLD_SIZE, counted on each machine";
        Ok(Some(Self {
            rank,
            size,
            local_rank: required(&lookup, "LOCAL_RANK", local, below)?,
            host: required(&lookup, "MASTER_ADDR", "the host of process 0", |h: &String| {
                !h.is_empty()
            })?,
            port: required(&lookup, "MASTER_PORT", "a free port of that host", |&port| port > 0)?,
            agent_store: lookup("TORCHELASTIC_USE_AGENT_STORE")
                .is_some_and(|value| value == "True"),
            restarts: optional(&lookup, "TORCHELASTIC_RESTART_COUNT", "a number", |_| true)?
                .unwrap_or(0),
            timeout: timeout(&lookup)?,
        }))
    }

    /// Under which prefix the keys of this attempt lie in the store, as torchrun's own programs have it.
    pub(super) fn prefix(&self) -> String {
        format!("/worker/attempt_{}", self.restarts)
    }

    /// Whether this process serves the store.
    pub(super) fn serves(&self) -> bool {
        self.rank == 0 && !self.agent_store
    }
}

fn timeout(lookup: &impl Fn(&'static str) -> Option<String>) -> Result<Duration> {
    const EXPECTED: &str = "a positive number of seconds, at most 1e6";
    let in_range = |s: &f64| *s > 0.0 && *s <= 1e6;
    let seconds = optional(lookup, TIMEOUT, EXPECTED, in_range)?;
    Ok(seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs_f64))
}

fn required<T: FromStr>(
    lookup: &impl Fn(&'static str) -> Option<String>,
    variable: &'static str,
    expected: &'static str,
    makes_sense: impl Fn(&T) -> bool,
) -> Result<T> {
    let missing = || Error::Environment { variable, value: None, expected };
    optional(lookup, variable, expected, makes_sense)?.ok_or_else(missing)
}

fn optional<T: FromStr>(
    lookup: &impl Fn(&'static str) -> Option<String>,
    variable: &'static str,
    expected: &'static str,
    makes_sense: impl Fn(&T) -> bool,
) -> Result<Option<T>> {
    let Some(value) = lookup(variable) else { return Ok(None) };
    match value.trim().parse() {
        Ok(parsed) if makes_sense(&parsed) => Ok(Some(parsed)),
        _ => Err(Error::Environment { variable, value: Some(value), expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [(&str, &str); 5] = [
        ("RANK", "1"),
        ("WORLD_SIZE", "2"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", "29500"),
    ];

    /// The variables of [`TWO`], with some changed (or taken away, by `None`).
    fn read(changes: &[(&str, Option<&str>)]) -> Result<Option<Environment>> {
        Environment::from_lookup(|name| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            let given = TWO.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
            changed.map_or(given, |(_, value)| *value).map(str::to_owned)
        })
    }

    #[test]
    fn a_launcher_starts_process_0_as_the_server() {
        let one = read(&[]).unwrap().unwrap();
        assert_eq!((one.rank, one.size, one.local_rank, one.port), (1, 2, 1, 29500));
        assert_eq!((one.serves(), one.prefix().as_str()), (false, "/worker/attempt_0"));
        assert_eq!(one.timeout, DEFAULT_TIMEOUT);
        let zero = read(&[("RANK", Some("0")), (TIMEOUT, Some("2.5"))]).unwrap().unwrap();
        assert!(zero.serves());
        assert_eq!(zero.timeout, Duration::from_millis(2500));
    }

    #[test]
    fn torchrun_serves_the_store_itself_and_counts_its_attempts() {
        let changes = [
            ("RANK", Some("0")),
            ("TORCHELASTIC_USE_AGENT_STORE", Some("True")),
            ("TORCHELASTIC_RESTART_COUNT", Some("3")),
        ];
        let elastic = read(&changes).unwrap().unwrap();
        assert_eq!((elastic.serves(), elastic.prefix().as_str()), (false, "/worker/attempt_3"));
    }

    #[test]
    fn without_variables_or_with_one_process_there_is_nothing_to_connect() {
        assert_eq!(Environment::from_lookup(|_| None).unwrap(), None);
        let one = [("RANK", Some("0")), ("WORLD_SIZE", Some("1")), ("MASTER_PORT", None)];
        assert_eq!(read(&one).unwrap(), None);
    }

    #[test]
    fn a_missing_or_senseless_variable_is_named_with_its_value() {
        for variable in ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"] {
            let message = read(&[(variable, None)]).unwrap_err().to_string();
            assert!(message.contains(&format!("{variable} is not set")), "{message}");
        }
        let wrong = [
            ("RANK", "2"),
            ("RANK", "-1"),
            ("WORLD_SIZE", "0"),
            ("LOCAL_RANK", "x"),
            ("MASTER_PORT", "70000"),
        ];
        for (variable, value) in wrong.into_iter().chain([(TIMEOUT, "0"), (TIMEOUT, "NaN")]) {
            let message = read(&[(variable, Some(value))]).unwrap_err().to_string();
            assert!(message.contains(&format!("{variable} is `{value}`")), "{message}");
        }
    }
}
