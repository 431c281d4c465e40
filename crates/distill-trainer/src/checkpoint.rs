//! Checkpoints: folders that are either whole or not there.

use crate::drift::differences;
use crate::{Error, Progress, Result, TrainConfig};
use diffusion_core::{NoiseState, State, tensor_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// The version of the layout that is written and read.
pub(crate) const FORMAT: u32 = 1;
const STEP: &str = "step-";
const PARTIAL: &str = "partial-";
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
    /// The method's name.
    pub method: String,
    /// The method's options.
    pub options: serde_json::Value,
    /// Plain values by part and name.
    pub values: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// CRC-32 of the tensor file.
    pub crc32: u32,
}

impl Manifest {
    /// Why a run as `self` describes it cannot go on from `saved`; empty if it can.
    pub(crate) fn drift(&self, saved: &Self) -> Vec<String> {
        if self.method != saved.method {
            return vec![format!("method was `{}`, now `{}`", saved.method, self.method)];
        }
        let mut drift = self.config.drift(&saved.config);
        drift.extend(differences("options", &saved.options, &self.options));
        drift
    }
}

/// The one field that every version of the layout has.
#[derive(Deserialize)]
struct Version {
    format: u32,
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
/// moment leaves the ones before it usable. Once it is there, those of later steps, which belong to a course that the run
/// has left, are removed.
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
        // Processes of one run look at the same moment.
        let probe = path.join(format!(".writable-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::write(&probe, b""))
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|source| Error::Folder { path: path.clone(), source })?;
        Ok(Self { path, keep: keep.max(1) })
    }

    /// Writes a checkpoint; values and checksum of the manifest are filled in from `parts`.
    pub(crate) fn write(&self, manifest: Manifest, parts: &BTreeMap<String, State>) -> Result<()> {
        let step = manifest.progress.step;
        let folder = self.path.join(format!("step-{step:09}"));
        let partial = self.path.join(format!("{PARTIAL}{step:09}"));
        let written =
            write_parts(&partial, manifest, parts).and_then(|()| replace_folder(&partial, &folder));
        if written.is_err() {
            let _ = std::fs::remove_dir_all(&partial); // what could not be finished is of no use
        }
        written?;
        self.prune(&folder)
    }

    /// The newest checkpoint that can be used, and why newer ones cannot.
    pub(crate) fn newest(&self) -> Result<Option<(Saved, Vec<Error>)>> {
        let mut passed_over = Vec::new();
        for folder in self.folders(STEP)?.iter().rev() {
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

    /// The folders of that prefix, sorted.
    fn folders(&self, prefix: &str) -> Result<Vec<PathBuf>> {
        let io = |source| Error::Folder { path: self.path.clone(), source };
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// Removes what `written` makes useless: checkpoints beyond it, all but the newest, and what crashes left.
    fn prune(&self, written: &Path) -> Result<()> {
        let (mut kept, beyond): (Vec<_>, Vec<_>) =
            self.folders(STEP)?.into_iter().partition(|folder| folder.as_path() <= written);
        let old = kept.drain(..kept.len().saturating_sub(self.keep));
        for folder in old.chain(beyond).chain(self.folders(PARTIAL)?) {
            std::fs::remove_dir_all(&folder)
                .map_err(|source| Error::Folder { path: folder, source })?;
        }
        Ok(())
    }
}

fn write_parts(
    folder: &Path,
    mut manifest: Manifest,
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
    manifest.crc32 = crc32fast::hash(&std::fs::read(&path).map_err(io)?);
    let values = |(part, state): (&String, &State)| (part.clone(), state.values.clone());
    manifest.values = parts.iter().map(values).collect();
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
    let not_json = |error: serde_json::Error| bad(MANIFEST, error.to_string());
    let Version { format } = serde_json::from_slice(&manifest).map_err(not_json)?;
    if format != FORMAT {
        let reason = format!("format {format} is not {FORMAT}; use the version that wrote it");
        return Err(bad(MANIFEST, reason));
    }
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(not_json)?;
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
        let manifest = Manifest {
            format: FORMAT,
            progress: Progress { step, images: step * 4 },
            noise: NoiseState { seed: 1, stream: 2, draw: step },
            config: TrainConfig::default(),
            method: "toy".into(),
            options: serde_json::json!({}),
            values: BTreeMap::new(),
            crc32: 0,
        };
        folder.write(manifest, &parts).unwrap();
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
    fn another_format_is_named_whatever_else_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CheckpointFolder::create(dir.path(), 1).unwrap();
        write(&folder, 1);
        let path = dir.path().join("step-000000001").join(MANIFEST);
        std::fs::write(&path, br#"{"format": 7, "novelty": true}"#).unwrap();
        let message = folder.newest().unwrap_err().to_string();
        assert!(message.contains("format 7 is not 1"), "{message}");
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
