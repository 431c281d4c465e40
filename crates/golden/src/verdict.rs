//! What came of one case.

use crate::checkpoints::{self, Expected};
use crate::{Comparison, Error, Result, comparison, replayer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use testkit::GoldenCase;

/// What came of one case.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Every result counts as equal; the worst tensor.
    Equal(Comparison),
    /// A hostile or damaged file of weights ended as it must; how.
    Refused(String),
    /// At least one result differs; the worst tensor.
    Different(Comparison),
    /// The file could not be read or replayed.
    Broken(Error),
    /// No replayer has a stem that the file name begins with.
    Unknown,
}

impl Verdict {
    /// Replays one file. Nothing that is wrong with the file or the replay ends the program.
    pub fn of(path: &Path) -> Self {
        let judged = catch_unwind(AssertUnwindSafe(|| Self::judge(path)));
        match judged {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Self::Broken(error),
            Err(panic) => Self::Broken(Error::Panicked(message(&*panic))),
        }
    }

    fn judge(path: &Path) -> Result<Self> {
        let worst = match checkpoints::expected(path)? {
            Some(Expected::Outcome(outcome)) => {
                return checkpoints::refusal(path, &outcome).map(Self::Refused);
            }
            Some(Expected::Twin(twin)) => checkpoints::compare(path, &twin)?,
            None => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let Some(replay) = replayer(&name) else { return Ok(Self::Unknown) };
                let case = GoldenCase::open(path)?;
                comparison::worst(&case, &replay(&case)?)?
            }
        };
        Ok(if worst.is_ok() { Self::Equal(worst) } else { Self::Different(worst) })
    }

    /// The report on the case called `name`, one line: `ok|FAIL|skip NAME worst-tensor error tolerance`.
    pub fn line(&self, name: &str) -> String {
        match self {
            Self::Equal(worst) => format!("ok   {name} {worst}"),
            Self::Refused(reason) => format!("ok   {name} {}", first_line(reason)),
            Self::Different(worst) => format!("FAIL {name} {worst}"),
            Self::Broken(error) => format!("FAIL {name} {}", first_line(&error.to_string())),
            Self::Unknown => format!("skip {name} no known stem"),
        }
    }
}

/// Without the stack that libtorch writes behind its messages; panics have it with escaped line ends.
fn first_line(text: &str) -> &str {
    text.split(['\n', '\r']).next().and_then(|line| line.split("\\n").next()).unwrap_or_default()
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line() {
        for panic in ["Torch(\"shapes differ\\nframe #0\")", "Torch(\"shapes differ\nframe #0"] {
            let line = Verdict::Broken(Error::Panicked(panic.into())).line("x");
            assert_eq!(line, "FAIL x the replay panicked: Torch(\"shapes differ");
        }
    }
}
