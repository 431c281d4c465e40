//! Checkpoints: folders that are either whole or not there, written beside the training.
//!
//! ```text
//! checkpoints/step-000001000/state.safetensors   weights, optimizers, averages, method state
//!                            manifest.json       configuration, counters, noise state, metrics, checksum
//! ```
//!
//! Between two steps the trainer takes a [`Snapshot`], a copy of everything on the CPU. The [`Writer`] hands it to a
//! thread, which writes it into a folder `partial-…`, flushes files and folder, renames the folder and flushes the one
//! above it. A crash or a full disk at any moment leaves the checkpoints before it usable.

mod folder;
mod manifest;
mod retention;
mod saved;
mod snapshot;
mod writer;

pub use folder::CheckpointFolder;
pub use manifest::Manifest;
pub use retention::Better;
pub(crate) use saved::Saved;
pub(crate) use snapshot::Snapshot;
pub(crate) use writer::Writer;

/// The version of the layout that is written and read.
pub(crate) const FORMAT: u32 = 2;
const STEP: &str = "step-";
const PARTIAL: &str = "partial-";
const TENSORS: &str = "state.safetensors";
const MANIFEST: &str = "manifest.json";
