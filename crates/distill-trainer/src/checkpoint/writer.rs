//! The thread that writes checkpoints.

use super::{CheckpointFolder, Snapshot};
use crate::{Error, Result};
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Writes checkpoints, one at a time, while the run goes on. Dropping it waits for the one that is being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    in_flight: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Begins to write `snapshot`, after the one before it.
    pub(crate) fn start(&mut self, folder: CheckpointFolder, snapshot: Snapshot) -> Result<()> {
        self.wait()?;
        let path = folder.path().to_path_buf();
        let thread = Builder::new().name("checkpoint".into());
        let writing = thread.spawn(move || folder.write(snapshot));
        self.in_flight = Some(writing.map_err(|source| Error::Folder { path, source })?);
        Ok(())
    }

    /// Waits until nothing is being written. Returns how long that took, or why writing failed.
    pub(crate) fn wait(&mut self) -> Result<Duration> {
        let started = Instant::now();
        if let Some(writing) = self.in_flight.take() {
            writing.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(started.elapsed())
    }

    /// Reports a failed write without waiting for one that is under way.
    pub(crate) fn check(&mut self) -> Result<()> {
        match &self.in_flight {
            Some(writing) if writing.is_finished() => self.wait().map(drop),
            _ => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(writing) = self.in_flight.take() {
            let _ = writing.join(); // its error has nobody left to go to
        }
    }
}
