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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Manifest;
    use crate::{Progress, TrainConfig};
    use diffusion_core::Noise;
    use std::collections::BTreeMap;

    fn snapshot(step: u64) -> Snapshot {
        Snapshot::new(Manifest {
            format: crate::checkpoint::FORMAT,
            progress: Progress { step, images: step },
            noise: Noise::new(0).state(),
            config: TrainConfig::default(),
            method: "toy".into(),
            options: serde_json::json!({}),
            metrics: BTreeMap::new(),
            values: BTreeMap::new(),
            crc32: 0,
        })
    }

    #[test]
    fn every_checkpoint_is_written_before_the_next_one_begins() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::at(dir.path(), 9);
        let mut writer = Writer::default();
        for step in 1..=3 {
            writer.start(folder.clone(), snapshot(step)).unwrap();
            assert!(folder.count() >= step as usize - 1);
        }
        writer.wait().unwrap();
        assert_eq!(folder.count(), 3);
    }

    #[test]
    fn a_failed_write_is_reported_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = CheckpointFolder::at(file.path().join("checkpoints"), 1);
        let mut writer = Writer::default();
        writer.start(folder, snapshot(1)).unwrap();
        let message = writer.wait().unwrap_err().to_string();
        assert!(message.contains("partial-000000001"), "{message}");
        writer.wait().unwrap();
        writer.check().unwrap();
    }
}
