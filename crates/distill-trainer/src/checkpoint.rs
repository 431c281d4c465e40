//! Checkpoints: folders that are either whole or not there.

use crate::{Error, Progress, Result, TrainConfig};
use diffusion_core::{NoiseState, State, tensor_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

const FORMAT: u32 = 1;
const TENSORS: &str = "state.safetensors";
const MANIFEST: &str = "manifest.json";

/// Everything of a checkpoint but its tensors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// How far the run had come.
    pub progress: Progress,
    /// The noise generator.
    pub noise: NoiseState,
    /// The run's configuration.
    pub config: TrainConfig,
    /// Plain values by part and name.
    pub values: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// CRC-32 of the tensor file.
    pub crc32: u32,
}

/// A checkpoint that was read and verified.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) manifest: Manifest,
    tensors: Vec<(String, Tensor)>,
}

impl Saved {
    /// The tensors and values of one part, such as `method`.
    pub(crate) fn part(&self, part: &str) -> State {
        let prefix = format!("{part}:");
        let strip = |(name, tensor): &(String, Tensor)| {
            name.strip_prefix(&prefix).map(|name| (name.to_owned(), tensor.shallow_clone()))
        };
        State {
            tensors: self.tensors.iter().filter_map(strip).collect(),
            values: self.manifest.values.get(part).cloned().unwrap_or_default(),
        }
    }
}

/// A folder of checkpoints, of which the newest are kept.
///
/// ```text
/// checkpoints/step-000001000/state.safetensors   weights, optimizers, averages, method state
///                            manifest.json       configuration, counters, noise state, checksum
/// ```
///
/// A checkpoint is written under a temporary name, flushed to disk and renamed, so a crash or a full disk at any
/// moment leaves the ones before it usable.
#[derive(Debug, Clone)]
pub struct CheckpointFolder {
    path: PathBuf,
    keep: usize,
}

impl CheckpointFolder {
    /// Checkpoints under `path`, the newest `keep` of them (at least 1).
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder cannot be created or written to.
    pub fn create(path: impl Into<PathBuf>, keep: usize) -> Result<Self> {
        let path = path.into();
        let probe = path.join(".writable");
        std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::write(&probe, b""))
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|source| Error::Folder { path: path.clone(), source })?;
        Ok(Self { path, keep: keep.max(1) })
    }

    pub(crate) fn write(
        &self,
        progress: Progress,
        noise: NoiseState,
        config: &TrainConfig,
        parts: &BTreeMap<String, State>,
    ) -> Result<()> {
        let folder = self.path.join(format!("step-{:09}", progress.step));
        let partial = self.path.join(format!("partial-{:09}", progress.step));
        let written = write_parts(&partial, progress, noise, config, parts)
            .and_then(|()| replace_folder(&partial, &folder));
        if written.is_err() {
            let _ = std::fs::remove_dir_all(&partial); // what could not be finished is of no use
        }
        written?;
        self.prune()
    }

    /// The newest checkpoint that can be used, and why newer ones cannot.
    pub(crate) fn newest(&self) -> Result<Option<(Saved, Vec<Error>)>> {
        let mut passed_over = Vec::new();
        for folder in self.folders()?.iter().rev() {
            match read(folder) {
                Ok(saved) => return Ok(Some((saved, passed_over))),
                Err(error) => passed_over.push(error),
            }
        }
        match passed_over.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    fn folders(&self) -> Result<Vec<PathBuf>> {
        let io = |source| Error::Folder { path: self.path.clone(), source };
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_string_lossy().starts_with("step-") {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }

    fn prune(&self) -> Result<()> {
        let folders = self.folders()?;
        for folder in folders.iter().rev().skip(self.keep) {
            std::fs::remove_dir_all(folder)
                .map_err(|source| Error::Folder { path: folder.clone(), source })?;
        }
        Ok(())
    }
}

fn write_parts(
    folder: &Path,
    progress: Progress,
    noise: NoiseState,
    config: &TrainConfig,
    parts: &BTreeMap<String, State>,
) -> Result<()> {
    let io = |source| Error::Folder { path: folder.into(), source };
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(io)?; // left by a crash
    }
    std::fs::create_dir_all(folder).map_err(io)?;
    let named: Vec<(String, &Tensor)> = parts
        .iter()
        .flat_map(|(part, s)| s.tensors.iter().map(move |(name, t)| (format!("{part}:{name}"), t)))
        .collect();
    let path = folder.join(TENSORS);
    let tensors = named.iter().map(|(name, tensor)| (name.as_str(), *tensor));
    tensor_file::write(&path, tensors, &BTreeMap::new())?;
    let crc32 = crc32fast::hash(&std::fs::read(&path).map_err(io)?);
    let values = parts.iter().map(|(part, state)| (part.clone(), state.values.clone())).collect();
    let manifest =
        Manifest { format: FORMAT, progress, noise, config: config.clone(), values, crc32 };
    let json = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::Checkpoint { path: folder.into(), reason: error.to_string() })?;
    Ok(tensor_file::write_bytes(&folder.join(MANIFEST), &json)?)
}

fn replace_folder(partial: &Path, folder: &Path) -> Result<()> {
    let io = |source| Error::Folder { path: folder.into(), source };
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(io)?;
    }
    std::fs::rename(partial, folder).map_err(io)
}

fn read(folder: &Path) -> Result<Saved> {
    let bad = |file: &str, reason: String| Error::Checkpoint { path: folder.join(file), reason };
    let manifest =
        std::fs::read(folder.join(MANIFEST)).map_err(|error| bad(MANIFEST, error.to_string()))?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(|error| bad(MANIFEST, error.to_string()))?;
    if manifest.format != FORMAT {
        let reason =
            format!("format {} is not {FORMAT}; use the version that wrote it", manifest.format);
        return Err(bad(MANIFEST, reason));
    }
    let path = folder.join(TENSORS);
    let bytes = std::fs::read(&path).map_err(|error| bad(TENSORS, error.to_string()))?;
    if crc32fast::hash(&bytes) != manifest.crc32 {
        return Err(bad(TENSORS, "the checksum is wrong: the file is damaged or truncated".into()));
    }
    Ok(Saved { manifest, tensors: tensor_file::read(&path)?.tensors })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &CheckpointFolder, step: u64) {
        let mut state = State::default();
        state.tensors.insert("w".into(), Tensor::from(step as f32));
        state.set("stage", step);
        let parts = BTreeMap::from([("method".to_owned(), state)]);
        let progress = Progress { step, images: step * 4 };
        let noise = NoiseState { seed: 1, stream: 2, draw: step };
        folder.write(progress, noise, &TrainConfig::default(), &parts).unwrap();
    }

    #[test]
    fn the_newest_good_one_is_used_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::create(dir.path(), 2).unwrap();
        assert!(folder.newest().unwrap().is_none());
        (1..=3).for_each(|step| write(&folder, step));
        assert_eq!(folder.folders().unwrap().len(), 2);
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
    fn an_unwritable_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = CheckpointFolder::create(file.join("checkpoints"), 2).unwrap_err();
        assert!(error.to_string().contains("file/checkpoints"));
    }
}
