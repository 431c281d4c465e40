//! What is in a folder of checkpoints.

use fewstep::diffusion_core::tensor_file;
use fewstep::tch::Tensor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of one checkpoint.
pub(crate) fn checkpoint(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:09}"))
}

/// The names of everything in the folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names of the checkpoints of those steps.
pub(crate) fn steps(steps: impl IntoIterator<Item = u64>) -> Vec<String> {
    steps.into_iter().map(|step| format!("step-{step:09}")).collect()
}

/// The tensors of a checkpoint whose name starts with `prefix`, such as `players.network:weights.`.
pub(crate) fn tensors(folder: &Path, step: u64, prefix: &str) -> BTreeMap<String, Tensor> {
    let path = checkpoint(folder, step).join("state.safetensors");
    let tensors: BTreeMap<_, _> = tensor_file::read(&path)
        .unwrap()
        .tensors
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    assert!(!tensors.is_empty(), "{} has no tensor `{prefix}…`", path.display());
    tensors
}

/// The bytes of a checkpoint's tensors and the values of its manifest.
pub(crate) fn content(folder: &Path, step: u64) -> (Vec<u8>, serde_json::Value) {
    let read = |file| std::fs::read(checkpoint(folder, step).join(file)).unwrap();
    (read("state.safetensors"), serde_json::from_slice(&read("manifest.json")).unwrap())
}

/// Cuts a file to half its length.
pub(crate) fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}
