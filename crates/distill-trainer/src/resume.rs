//! Going on from a checkpoint.

use crate::checkpoint::Saved;
use crate::data_parallel::PART;
use crate::{DistillMethod, Error, Result, Trainer};
use diffusion_core::{BatchSource, Error as CoreError, Noise, State};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Whether a run goes on from a checkpoint, and from which.
///
/// # Example
/// ```
/// use distill_trainer::Resume;
/// assert_eq!("auto".parse(), Ok(Resume::Auto));
/// assert_eq!("runs/a/step-000000064".parse(), Ok(Resume::From("runs/a/step-000000064".into())));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Resume {
    /// From the newest good checkpoint of the run's folder; from the start if there is none at all.
    #[default]
    Auto,
    /// As `Auto`, but it is an error if there is none.
    Must,
    /// From the start.
    Never,
    /// From the checkpoint in this folder, which may belong to another run of the same configuration.
    From(PathBuf),
}

impl FromStr for Resume {
    type Err = Infallible;

    /// `auto`, `must`, `never`, or a path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "must" => Self::Must,
            "never" => Self::Never,
            path => Self::From(path.into()),
        })
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Must => f.write_str("must"),
            Self::Never => f.write_str("never"),
            Self::From(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where a run goes on from.
#[derive(Debug, Default)]
pub struct Resumed {
    /// The checkpoint; `None` at the start of a run.
    pub from: Option<PathBuf>,
    /// Why newer checkpoints were not used.
    pub passed_over: Vec<Error>,
}

impl<M: DistillMethod> Trainer<M> {
    /// Continues as [`Resume::Auto`] says, and returns why newer checkpoints were passed over.
    ///
    /// # Errors
    /// As [`Trainer::resume_by`].
    pub fn resume(&mut self, source: &mut dyn BatchSource) -> Result<Vec<Error>> {
        Ok(self.resume_by(&Resume::Auto, source)?.passed_over)
    }

    /// Continues from a checkpoint, bit for bit as if the run had not ended there.
    ///
    /// Observers find their state by [`Observer::key`](crate::Observer::key): one that the checkpoint does not know
    /// starts fresh, and what an absent one left is dropped.
    ///
    /// # Errors
    /// - [`Error::Checkpoint`] if checkpoints exist and all are damaged, or the one asked for is;
    /// - [`Error::ForeignCheckpoint`] for another layout;
    /// - [`Error::UnfitCheckpoint`] if the method, one of its options, the configuration, the number of processes, the
    ///   networks or the data differ; the trainer may have taken in a part of the checkpoint then and must not be used;
    /// - [`Error::NoCheckpoint`], [`Error::NoCheckpointFolder`] if there must be one.
    pub fn resume_by(&mut self, how: &Resume, source: &mut dyn BatchSource) -> Result<Resumed> {
        let Some((saved, passed_over)) = self.find(how)? else { return Ok(Resumed::default()) };
        let path = saved.path.clone();
        self.take_in(&saved, source).map_err(|reason| Error::UnfitCheckpoint {
            path: path.clone(),
            reason: Box::new(reason),
        })?;
        Ok(Resumed { from: Some(path), passed_over })
    }

    fn find(&self, how: &Resume) -> Result<Option<(Saved, Vec<Error>)>> {
        if let Resume::From(path) = how {
            return Ok(Some((Saved::read(path)?, Vec::new())));
        }
        match (how, &self.checkpoints) {
            (Resume::Never, _) | (Resume::Auto, None) => Ok(None),
            (_, None) => Err(Error::NoCheckpointFolder),
            (_, Some(folder)) => match folder.newest()? {
                None if *how == Resume::Must => {
                    Err(Error::NoCheckpoint { path: folder.path().into() })
                }
                found => Ok(found),
            },
        }
    }

    fn take_in(&mut self, saved: &Saved, source: &mut dyn BatchSource) -> Result<()> {
        let drift = self.manifest().drift(&saved.manifest);
        if !drift.is_empty() {
            return Err(Error::ConfigDrift(drift));
        }
        let noise = self.parallel.saved_noise(&saved.part(PART), saved.manifest.noise)?;
        for player in &mut self.players {
            let state = saved.part(&format!("players.{}", player.role));
            same_names(&player.state(), &state)?;
            player.load_state(&state)?;
        }
        self.method.load_state(&saved.part("method"))?;
        source.restore(&saved.part("source"))?;
        let run = saved.part("run");
        self.ledger.load_state(&run, self.device)?;
        self.non_finite.set_count(run.get("non_finite")?);
        for (part, observer) in self.observer_parts().into_iter().zip(&mut self.observers) {
            if saved.has(&part) {
                observer.restore(&saved.part(&part))?;
            }
        }
        self.noise = Noise::from_state(noise).on(self.device);
        self.progress = saved.manifest.progress;
        self.metrics.clone_from(&saved.manifest.metrics);
        Ok(())
    }
}

/// Networks of which one is a part of the other are different ones, too.
fn same_names(here: &State, saved: &State) -> Result<(), CoreError> {
    let names = |state: &State| state.tensors.keys().cloned().collect::<BTreeSet<_>>();
    let (here, saved) = (names(here), names(saved));
    if here == saved {
        return Ok(());
    }
    let missing = here.difference(&saved).cloned().collect();
    let unexpected = saved.difference(&here).cloned().collect();
    Err(CoreError::NameMismatch { missing, unexpected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_resume_can_be_written() {
        for text in ["auto", "must", "never", "./never", "runs/a"] {
            let Ok(how) = text.parse::<Resume>();
            assert_eq!(how.to_string(), text);
        }
        assert_eq!("./never".parse(), Ok(Resume::From("./never".into())));
    }
}
