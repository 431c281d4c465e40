//! What can go wrong at the border to libtorch.

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the operation that failed and what was wrong with its arguments.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused an operation.
    #[error("{operation}: libtorch reports: {message}")]
    Torch {
        /// The function of this crate that was called.
        operation: &'static str,
        /// libtorch's own message.
        message: String,
    },
    /// Two lists that belong together are of different lengths.
    #[error("{operation}: {found} {list} for {expected} tensors; pass exactly one per tensor")]
    LengthMismatch {
        /// The function of this crate that was called.
        operation: &'static str,
        /// The list of the wrong length.
        list: &'static str,
        /// The length that was needed.
        expected: usize,
        /// The length that was found.
        found: usize,
    },
    /// The device is none that this process can use.
    #[error("{operation}: {device:?} cannot be used: {reason}")]
    NoDevice {
        /// The function of this crate that was called.
        operation: &'static str,
        /// The device that was asked for.
        device: tch::Device,
        /// Why it cannot be used, and what to do.
        reason: String,
    },
    /// A parameter of a checkpointed segment is itself computed from others.
    #[error(
        "autograd::checkpoint: parameter {index} is computed from other tensors; \
         list what it is computed from, and compute it inside of the closure"
    )]
    NotALeaf {
        /// The place of the parameter in the list.
        index: usize,
    },
    /// A derivative in forward mode was asked for inside of another one.
    #[error(
        "autograd::jvp: called inside of another jvp; libtorch can follow one direction at a time"
    )]
    NestedJvp,
    /// Processes cannot be connected with this libtorch.
    #[error(
        "this libtorch was built without c10d (USE_DISTRIBUTED=0), so a run cannot span processes; \
         use a libtorch with it, such as that of `cargo xtask setup`"
    )]
    NoDistributed,
    /// A variable of the environment that says which process this is, absent or senseless.
    #[error(
        "the environment variable {variable} {}, it must be {expected}; \
         start the processes with `cargo xtask launch` or torchrun, or unset RANK and WORLD_SIZE for a run of one process",
        .value.as_ref().map_or("is not set".to_owned(), |value| format!("is `{value}`"))
    )]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What it holds, if it is set.
        value: Option<String>,
        /// What it should hold.
        expected: &'static str,
    },
    /// The processes did not find each other.
    #[error(
        "rank {rank} of {size}: no connection to the others through {host}:{port} within {timeout_s} s: {message}; \
         look at the output of the other processes, and at MASTER_ADDR and MASTER_PORT"
    )]
    Rendezvous {
        /// This process.
        rank: usize,
        /// The number of processes.
        size: usize,
        /// Where the store is.
        host: String,
        /// The store's port.
        port: u16,
        /// The time-out in seconds.
        timeout_s: f64,
        /// libtorch's reason.
        message: String,
    },
    /// An operation of all processes together failed, because one has ended, hangs or does something else.
    #[error(
        "rank {rank} of {size}: {operation} failed: {message}; another process has ended or did not answer within \
         the time-out of {timeout_s} s, look at its output"
    )]
    Collective {
        /// What was tried.
        operation: &'static str,
        /// This process.
        rank: usize,
        /// The number of processes.
        size: usize,
        /// The time-out in seconds.
        timeout_s: f64,
        /// libtorch's reason.
        message: String,
    },
}
