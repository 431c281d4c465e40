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
    /// A file of weights that cannot be read.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// A file of weights that was read and should have been refused.
    #[error("{tensors} tensors were read from a file whose outcome should be `{outcome}`")]
    NotRefused {
        /// What should have come of it.
        outcome: String,
        /// How many tensors were found.
        tensors: usize,
    },
    /// An error that does not say which file has it.
    #[error("the error does not name the file: {0}")]
    Anonymous(String),
    /// A file whose content was run.
    #[error(
        "a file `{footprint}` exists: something in a checkpoint was run, or it was there before"
    )]
    Executed {
        /// The file.
        footprint: &'static str,
    },
    /// A folder that cannot be read, or a report that cannot be written.
    #[error("cannot use {path}: {reason}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// Folders without any case.
    #[error("there is no *.safetensors file and no EXPECT.json below {0:?}")]
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
    /// A feature network that cannot be.
    #[error(transparent)]
    Backbones(#[from] backbones::Error),
    /// A failure of the trainer.
    #[error(transparent)]
    Trainer(#[from] distill_trainer::Error),
    /// A statistic that cannot be.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// A failure inside libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}
