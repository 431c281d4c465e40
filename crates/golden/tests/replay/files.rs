//! Cases of the repository, and changed copies of them.

use diffusion_core::tensor_file::{self, TensorFile};
use std::path::{Path, PathBuf};

/// Every case in the repository.
pub(crate) fn cases() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    golden::find_cases(&[folder.into()]).unwrap()
}

/// Those that are computed; the others are files of weights that are read.
pub(crate) fn computed() -> Vec<PathBuf> {
    let is_read = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "checkpoints");
    cases().into_iter().filter(|path| !is_read(path)).collect()
}

/// The case of that name.
pub(crate) fn case(name: &str) -> PathBuf {
    cases().into_iter().find(|path| path.file_stem().unwrap() == name).unwrap()
}

/// A copy of the case `from` in `folder` under another name, after `edit`.
pub(crate) fn edited(
    from: &Path,
    folder: &Path,
    name: &str,
    edit: impl FnOnce(&mut TensorFile),
) -> PathBuf {
    let mut file = tensor_file::read(from).unwrap();
    edit(&mut file);
    let path = folder.join(format!("{name}.safetensors"));
    let tensors = file.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    tensor_file::write(&path, tensors, &file.metadata).unwrap();
    path
}

/// Gives the case another configuration.
pub(crate) fn configure(file: &mut TensorFile, config: serde_json::Value) {
    let description = file.metadata.get_mut("case").unwrap();
    let mut parsed: serde_json::Value = serde_json::from_str(description).unwrap();
    parsed["config"] = config;
    *description = parsed.to_string();
}
