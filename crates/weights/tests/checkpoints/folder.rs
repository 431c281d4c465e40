//! The folder of reference checkpoints.

use std::path::PathBuf;

/// Files as PyTorch and EDM write them with what they must yield, and hostile ones: see its README.
pub(crate) fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/checkpoints").into()
}
