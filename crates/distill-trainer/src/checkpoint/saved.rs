//! Checkpoints read back.

use super::{Manifest, TENSORS};
use crate::{Error, Result};
use diffusion_core::{State, tensor_file};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// A checkpoint that was read and verified.
#[derive(Debug)]
pub(crate) struct Saved {
    /// The checkpoint's folder.
    pub(crate) path: PathBuf,
    pub(crate) manifest: Manifest,
    tensors: Vec<(String, Tensor)>,
}

impl Saved {
    /// Reads the checkpoint in `folder`, each file once, and compares the checksum.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let path = folder.join(TENSORS);
        let bad = |reason: String| Error::Checkpoint { path: path.clone(), reason };
        let bytes = std::fs::read(&path).map_err(|error| bad(error.to_string()))?;
        if crc32fast::hash(&bytes) != manifest.crc32 {
            return Err(bad("the checksum is wrong: the file is damaged or truncated".into()));
        }
        let tensors = tensor_file::decode(&path, &bytes)?.tensors;
        Ok(Self { path: folder.into(), manifest, tensors })
    }

    /// Whether the run that wrote the checkpoint had such a part.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.manifest.values.contains_key(part)
    }

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
