//! What can go wrong in a run.

use crate::Progress;
use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value in the configuration that makes no sense.
    #[error("`{field}` = {value}: {expected}")]
    Config {
        /// The field's name, dotted.
        field: String,
        /// The value it had.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A configuration for a role that the method does not have, or none for one that it has.
    #[error(
        "the run configures the roles {configured:?}, but the method's players are {players:?}"
    )]
    Roles {
        /// Roles in the configuration.
        configured: Vec<String>,
        /// Roles of the method.
        players: Vec<String>,
    },
    /// A turn that names a player which does not exist.
    #[error("turn `{turn}` trains `{role}`, which is no player of the method")]
    UnknownRole {
        /// The turn.
        turn: &'static str,
        /// The role it names.
        role: &'static str,
    },
    /// A loss or a gradient that is NaN or infinite.
    #[error(
        "step {step}, turn `{turn}`: {what} is not finite; lower the learning rate, train in f32, \
         or set on_non_finite = \"skip-step\""
    )]
    NonFinite {
        /// The step, counted from 0.
        step: u64,
        /// The turn.
        turn: &'static str,
        /// The first bad tensor: `the loss`, or a player's gradient by name.
        what: String,
    },
    /// A run folder that cannot be created or written to.
    #[error("cannot write to the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint of a run with another configuration.
    #[error("the checkpoint was written with another configuration: {}", .0.join("; "))]
    ConfigDrift(Vec<String>),
    /// A picture that could not be drawn or written.
    #[error("cannot draw {path}: {reason}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// An interrupt handler that could not be installed.
    #[error("cannot listen for Ctrl-C: {0}")]
    Interrupt(String),
    /// Processes of one run that hold different things.
    #[error(
        "the processes of this run differ in {what}: {checksums:?}; start all with the same program and arguments, \
         let all see the same files, and use machines of one kind"
    )]
    ProcessesDiffer {
        /// In what.
        what: &'static str,
        /// What was compared, by process unless `what` says otherwise.
        checksums: Vec<u64>,
    },
    /// The first process of the run failed outside of a step.
    #[error("process 0 failed to report or to save; its own output says why")]
    FirstProcess,
    /// The run stopped on this error after the given progress.
    #[error("after {} images: {source}", .progress.images)]
    At {
        /// How far the run had come.
        progress: Progress,
        /// The error.
        source: Box<Error>,
    },
    /// A failure of the shared vocabulary: data, tensors, files.
    #[error(transparent)]
    Core(#[from] diffusion_core::Error),
    /// A failure in libtorch's extensions.
    #[error(transparent)]
    Torch(#[from] libtorch_ext::Error),
}

impl Error {
    /// Whether another process is gone, so that nothing can be done together any more.
    pub(crate) fn is_lost_contact(&self) -> bool {
        matches!(self, Self::Torch(libtorch_ext::Error::Collective { .. }))
    }
}
