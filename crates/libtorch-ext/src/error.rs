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
}
