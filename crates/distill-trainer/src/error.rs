//! What can go wrong in a run.

use crate::Progress;
use crate::plan::bytes;
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
    /// A directive that names a player which does not exist.
    #[error("the method asks to reset `{role}`, which is none of its players {players:?}")]
    UnknownReset {
        /// The role it names.
        role: &'static str,
        /// Roles of the method.
        players: Vec<String>,
    },
    /// A pattern for names of parameters that fits none.
    #[error("`{field}`: no parameter is called `{pattern}`; close are {}", .close.join(", "))]
    NoSuchParameter {
        /// The field that holds the pattern.
        field: String,
        /// The pattern.
        pattern: String,
        /// The names that come closest.
        close: Vec<String>,
    },
    /// A player of which nothing is trained.
    #[error(
        "`roles.{role}.freeze` leaves nothing to train; leave something out, or the role out of the turns"
    )]
    AllFrozen {
        /// The player.
        role: String,
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
    /// A run that would need more memory than there is.
    #[error(
        "the run needs {} more memory on {device}, but {} are available; {advice}",
        bytes(*.needed),
        bytes(*.available)
    )]
    Memory {
        /// Where: `cpu` or `cuda:N`.
        device: String,
        /// Bytes that the run will take beyond what the process has.
        needed: u64,
        /// Bytes that are available.
        available: u64,
        /// What would help, with numbers.
        advice: String,
    },
    /// Checkpoints that would need more room on disk than there is.
    #[error(
        "{checkpoints} checkpoints of {} will be written to {path}, but {} are free there; \
         keep fewer of them, or choose another disk",
        bytes(*.each),
        bytes(*.free)
    )]
    Disk {
        /// The folder of checkpoints.
        path: PathBuf,
        /// Checkpoints that will be there at a time, beyond those that are.
        checkpoints: u64,
        /// Bytes of each.
        each: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint in another layout: nothing is wrong with it, but this version cannot read it.
    #[error("checkpoint {path}: format {format} is not {readable}; use the version that wrote it")]
    ForeignCheckpoint {
        /// The checkpoint's manifest.
        path: PathBuf,
        /// The version of its layout.
        format: u32,
        /// The version that can be read.
        readable: u32,
    },
    /// A good checkpoint that does not fit this run: another method, configuration, architecture or data set.
    #[error("checkpoint {path} does not fit this run: {reason}")]
    UnfitCheckpoint {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What does not fit.
        reason: Box<Error>,
    },
    /// A run that must go on, and has nothing to go on from.
    #[error("there is no checkpoint in {path}; resume `auto` would start anew")]
    NoCheckpoint {
        /// The folder of checkpoints.
        path: PathBuf,
    },
    /// A run that must go on, and was not told where its checkpoints are.
    #[error(
        "the run has no folder of checkpoints to resume from; give it one with `Trainer::checkpoints`"
    )]
    NoCheckpointFolder,
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
    /// A signal handler that could not be installed.
    #[error("cannot listen for signals: {0}")]
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
