//! Why a case cannot be replayed.

use std::path::PathBuf;
use testkit::CaseError;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is no case, or a case without a tensor that its family has.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// A configuration that is not one of the family.
    #[error("the configuration is not one of this family: {0}")]
    Config(#[from] serde_json::Error),
    /// A configuration that this workspace cannot compute.
    #[error("`{field}` is {value}; the workspace has {supported}")]
    Unsupported {
        /// The entry of the configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// What could be replayed instead.
        supported: &'static str,
    },
    /// A result in the file that the replay did not compute.
    #[error("`{0}` is in the file, but its family's replay does not compute it")]
    NotReplayed(String),
    /// A file without results.
    #[error("the file holds no result `out.*`, so there is nothing to compare")]
    NoResults,
    /// A replay that panicked.
    #[error("the replay panicked: {0}")]
    Panicked(String),
    /// A folder that cannot be read, or a report that cannot be written.
    #[error("cannot use {path}: {reason}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// Folders without any case.
    #[error("there is no *.safetensors file below {0:?}")]
    NoCases(Vec<PathBuf>),
    /// A failure of the shared vocabulary.
    #[error(transparent)]
    Core(#[from] diffusion_core::Error),
    /// A schedule that cannot be.
    #[error(transparent)]
    Schedule(#[from] diffusion_schedule::Error),
    /// A network that cannot be.
    #[error(transparent)]
    Unet(#[from] unet::Error),
    /// A failure of the trainer.
    #[error(transparent)]
    Trainer(#[from] distill_trainer::Error),
    /// A failure inside libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}
