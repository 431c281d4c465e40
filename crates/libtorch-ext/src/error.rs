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
}
