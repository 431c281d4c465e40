//! A folder of checkpoints.

use super::retention::{Better, KeepBest, Metrics, survivors};
use super::{Manifest, PARTIAL, STEP, Saved, Snapshot};
use crate::{Error, Result};
use diffusion_core::tensor_file::sync_folder;
use std::path::{Path, PathBuf};

/// A folder of checkpoints, of which the newest are kept, and the best if they are asked for.
///
/// Once a new checkpoint is there, those of later steps are removed, too: they belong to a course that the run has left.
///
/// # Example
/// ```
/// use distill_trainer::{Better, CheckpointFolder};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("checkpoints");
/// let checkpoints = CheckpointFolder::create(path, 2)?.keep_best("fid", Better::Lower, 1);
/// assert_eq!(checkpoints.capacity(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CheckpointFolder {
    path: PathBuf,
    keep: usize,
    best: Vec<KeepBest>,
}

impl CheckpointFolder {
    /// Checkpoints under `path`, the newest `keep` of them (at least 1).
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder cannot be created or written to.
    pub fn create(path: impl Into<PathBuf>, keep: usize) -> Result<Self> {
        let folder = Self::at(path, keep);
        // Processes of one run look at the same moment.
        let probe = folder.path.join(format!(".writable-{}", std::process::id()));
        std::fs::create_dir_all(&folder.path)
            .and_then(|()| std::fs::write(&probe, b""))
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|source| Error::Folder { path: folder.path.clone(), source })?;
        Ok(folder)
    }

    /// As [`CheckpointFolder::create`], without touching the disk until the first checkpoint is written.
    pub fn at(path: impl Into<PathBuf>, keep: usize) -> Self {
        Self { path: path.into(), keep: keep.max(1), best: Vec::new() }
    }

    /// Keeps the best `n` checkpoints by a metric as well.
    ///
    /// `metric` is the name of a value that an observer measures ([`Observer::measure`](crate::Observer::measure)) or of a
    /// logged scalar ([`Tick::terms`](crate::Tick)). A run reports at every checkpoint then, and a checkpoint counts with
    /// the value of its own step; without one it is not among the best. Values are in the manifests, so that the choice
    /// outlives the run.
    ///
    /// The best value of several is better than what the same weights get in another evaluation, the more so the more
    /// there are to choose from: report a value of new seeds.
    #[must_use]
    pub fn keep_best(mut self, metric: impl Into<String>, better: Better, n: usize) -> Self {
        self.best.push(KeepBest { metric: metric.into(), better, n });
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The largest number of checkpoints that are kept.
    pub fn capacity(&self) -> usize {
        self.best.iter().fold(self.keep, |sum, best| sum.saturating_add(best.n))
    }

    /// The best of the checkpoints that are there by the first metric that the best are kept by, and its value. None if
    /// there is no such metric, or no checkpoint has a value; one whose manifest cannot be read has none.
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder cannot be read.
    pub fn best(&self) -> Result<Option<(PathBuf, f64)>> {
        let Some(criterion) = self.best.first() else { return Ok(None) };
        let mut folders = self.folders(STEP)?;
        let metrics: Vec<Metrics> = folders.iter().map(|folder| metrics_of(folder)).collect();
        let chosen = criterion.choose(&metrics).first().copied();
        let value = |index: usize| metrics[index][&criterion.metric];
        Ok(chosen.map(|index| (folders.swap_remove(index), value(index))))
    }

    /// Whether checkpoints are judged.
    pub(crate) fn keeps_best(&self) -> bool {
        !self.best.is_empty()
    }

    /// The first metric to keep by that has no value yet.
    pub(crate) fn metric_without_value(&self, metrics: &Metrics) -> Option<&str> {
        let mut names = self.best.iter().map(|best| best.metric.as_str());
        names.find(|name| !metrics.contains_key(*name))
    }

    /// Number of checkpoints that are there.
    pub(crate) fn count(&self) -> usize {
        self.folders(STEP).map_or(0, |folders| folders.len())
    }

    /// Writes a checkpoint and removes what it makes useless.
    pub(crate) fn write(&self, snapshot: Snapshot) -> Result<()> {
        let step = snapshot.step();
        let partial = self.path.join(format!("{PARTIAL}{step:09}"));
        let folder = self.path.join(format!("{STEP}{step:09}"));
        remove(&partial)?; // left by a crash
        let written = snapshot.write(&partial).and_then(|()| self.put(&partial, &folder));
        if written.is_err() {
            let _ = std::fs::remove_dir_all(&partial); // what could not be finished is of no use
        }
        written?;
        self.prune(&folder)
    }

    /// Gives a finished folder its name, in place of an older checkpoint of the same step.
    fn put(&self, partial: &Path, folder: &Path) -> Result<()> {
        let io = |source| Error::Folder { path: folder.into(), source };
        let old = partial.with_extension("old");
        if folder.exists() {
            remove(&old)?;
            std::fs::rename(folder, &old).map_err(io)?;
        }
        std::fs::rename(partial, folder).map_err(io)?;
        sync_folder(&self.path).map_err(io)
    }

    /// The newest checkpoint that can be used, and why newer ones cannot. One of another layout is an error: nothing is
    /// wrong with it.
    pub(crate) fn newest(&self) -> Result<Option<(Saved, Vec<Error>)>> {
        let mut passed_over = Vec::new();
        for folder in self.folders(STEP)?.iter().rev() {
            match Saved::read(folder) {
                Ok(saved) => return Ok(Some((saved, passed_over))),
                Err(error @ Error::ForeignCheckpoint { .. }) => return Err(error),
                Err(error) => passed_over.push(error),
            }
        }
        match passed_over.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// The folders of that prefix, sorted.
    fn folders(&self, prefix: &str) -> Result<Vec<PathBuf>> {
        let io = |source| Error::Folder { path: self.path.clone(), source };
        let mut folders = Vec::new();
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(folders),
            entries => entries.map_err(io)?,
        };
        for entry in entries {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// Removes what `written` makes useless: checkpoints beyond it, those that are neither new nor good, and what crashes
    /// left.
    fn prune(&self, written: &Path) -> Result<()> {
        let (kept, beyond): (Vec<_>, Vec<_>) =
            self.folders(STEP)?.into_iter().partition(|folder| folder.as_path() <= written);
        let metrics = |folder: &PathBuf| match self.best[..] {
            [] => Metrics::new(), // nobody asks for them
            _ => metrics_of(folder),
        };
        let metrics: Vec<Metrics> = kept.iter().map(metrics).collect();
        let staying = survivors(&metrics, self.keep, &self.best);
        let mut indices = 0..;
        let old =
            kept.into_iter().filter(|_| !indices.next().is_some_and(|i| staying.contains(&i)));
        for folder in old.chain(beyond).chain(self.folders(PARTIAL)?) {
            remove(&folder)?;
        }
        Ok(())
    }
}

/// What the checkpoint in `folder` can be judged by; nothing if that cannot be read.
fn metrics_of(folder: &Path) -> Metrics {
    Manifest::read(folder).map(|manifest| manifest.metrics).unwrap_or_default()
}

/// Removes a folder if it is there.
fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Folder { path: folder.into(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FORMAT, MANIFEST, TENSORS};
    use super::*;
    use crate::{Progress, TrainConfig};
    use diffusion_core::{NoiseState, State};
    use std::collections::BTreeMap;
    use tch::Tensor;

    fn write_with(folder: &CheckpointFolder, step: u64, metrics: Metrics) {
        let mut snapshot = Snapshot::new(Manifest {
            format: FORMAT,
            progress: Progress { step, images: step * 4 },
            noise: NoiseState { seed: 1, stream: 2, draw: step },
            config: TrainConfig::default(),
            method: "toy".into(),
            options: serde_json::json!({}),
            metrics,
            values: BTreeMap::new(),
            crc32: 0,
        });
        let mut state = State::default();
        state.tensors.insert("w".into(), Tensor::from(step as f32));
        state.set("stage", step);
        snapshot.add("method", state);
        folder.write(snapshot).unwrap();
    }

    fn write(folder: &CheckpointFolder, step: u64) {
        write_with(folder, step, Metrics::new());
    }

    fn steps(folder: &CheckpointFolder) -> Vec<u64> {
        let step = |path: PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name[STEP.len()..].parse().unwrap()
        };
        folder.folders(STEP).unwrap().into_iter().map(step).collect()
    }

    #[test]
    fn the_newest_good_one_is_used_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::create(dir.path(), 2).unwrap();
        assert!(folder.newest().unwrap().is_none());
        (1..=3).for_each(|step| write(&folder, step));
        assert_eq!(steps(&folder), [2, 3]);
        let newest = dir.path().join("step-000000003").join(TENSORS);
        let bytes = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
        let (saved, passed_over) = folder.newest().unwrap().unwrap();
        assert_eq!(saved.manifest.progress.step, 2);
        assert_eq!(saved.part("method").get::<u64>("stage").unwrap(), 2);
        assert_eq!(saved.part("method").tensor("w").unwrap().double_value(&[]), 2.0);
        assert!(passed_over[0].to_string().contains("step-000000003"));
    }

    #[test]
    fn a_new_checkpoint_outlives_those_of_later_steps() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::create(dir.path(), 2).unwrap();
        [3, 8, 9].iter().for_each(|&step| write(&folder, step));
        assert_eq!(steps(&folder), [8, 9]);
        write(&folder, 4); // the run started anew or both were damaged
        assert_eq!(steps(&folder), [4]);
    }

    #[test]
    fn what_a_crash_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::create(dir.path(), 2).unwrap();
        let left = dir.path().join("partial-000000007");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(TENSORS), b"half").unwrap();
        assert!(folder.newest().unwrap().is_none());
        write(&folder, 8);
        assert!(!left.exists());
    }

    #[test]
    fn another_format_is_an_error_whatever_else_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::create(dir.path(), 2).unwrap();
        [1, 2].iter().for_each(|&step| write(&folder, step));
        let path = dir.path().join("step-000000002").join(MANIFEST);
        std::fs::write(&path, br#"{"format": 7, "novelty": true}"#).unwrap();
        let message = folder.newest().unwrap_err().to_string(); // and not the one before it
        assert!(message.contains("step-000000002") && message.contains("format 7"), "{message}");
    }

    #[test]
    fn the_best_checkpoint_is_kept_beside_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let folder =
            CheckpointFolder::create(dir.path(), 1).unwrap().keep_best("fid", Better::Lower, 1);
        for (step, fid) in [(1, 5.0), (2, 0.1 + 0.2), (3, 4.0), (4, 6.0)] {
            write_with(&folder, step, [("fid".to_owned(), fid)].into());
        }
        assert_eq!(steps(&folder), [2, 4]);
        let best = |step: &str, value| Some((dir.path().join(step), value));
        assert_eq!(folder.best().unwrap(), best("step-000000002", 0.1 + 0.2));
        write_with(&folder, 5, [("fid".to_owned(), 0.3)].into()); // smaller by one bit
        assert_eq!(steps(&folder), [5]);
        assert_eq!(folder.best().unwrap(), best("step-000000005", 0.3));
        assert_eq!(CheckpointFolder::at(dir.path(), 1).best().unwrap(), None);
        assert_eq!(folder.metric_without_value(&Metrics::new()), Some("fid"));
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = CheckpointFolder::create(file.join("checkpoints"), 2).unwrap_err();
        assert!(error.to_string().contains("file/checkpoints"));
    }
}
