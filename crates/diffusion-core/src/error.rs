//! What can go wrong in the shared vocabulary.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device name that is none of `auto`, `cpu`, `cuda`, `cuda:N`.
    #[error("unknown device `{0}`; use `auto`, `cpu`, `cuda` or `cuda:N`")]
    UnknownDevice(String),
    /// CUDA was asked for and cannot be used.
    #[error(
        "device `{requested}` was asked for but {found} CUDA device(s) can be used; \
         run `cargo xtask doctor` to see why, or use `cpu`"
    )]
    NoCuda {
        /// The device as it was asked for.
        requested: String,
        /// How many CUDA devices libtorch sees.
        found: usize,
    },
    /// A class label outside `0..classes`.
    #[error(
        "class label {label} at position {position} is out of range: there are {classes} classes (0..{classes})"
    )]
    LabelOutOfRange {
        /// The offending label.
        label: i64,
        /// Its position in the batch.
        position: usize,
        /// The number of classes.
        classes: i64,
    },
    /// A place in a network that it does not have.
    #[error("this network has no features named `{name}`; it has {known:?}")]
    UnknownSite {
        /// The name that was asked for.
        name: String,
        /// The names it has.
        known: Vec<String>,
    },
    /// Tensor names that a network needs and a file or network does not have, or the reverse.
    #[error("tensor names differ: missing {}, unexpected {}", some(missing), some(unexpected))]
    NameMismatch {
        /// Names that were needed and not found.
        missing: Vec<String>,
        /// Names that were found and not needed.
        unexpected: Vec<String>,
    },
    /// A tensor of another shape than the network's.
    #[error("tensor `{name}` has shape {found:?}, but {expected:?} is needed")]
    ShapeMismatch {
        /// The tensor's name.
        name: String,
        /// The shape that was needed.
        expected: Vec<i64>,
        /// The shape that was found.
        found: Vec<i64>,
    },
    /// Trained tensors of several kinds, which cannot lie in one buffer.
    #[error(
        "tensor `{name}` is {found:?} and those before it are {expected:?}; trained tensors must be of one kind"
    )]
    MixedKinds {
        /// The first tensor of another kind.
        name: String,
        /// Its kind.
        found: tch::Kind,
        /// The kind of those before it.
        expected: tch::Kind,
    },
    /// Saved state without an entry that is needed.
    #[error("saved state has no entry `{0}`; it was written by another method or version")]
    MissingState(String),
    /// A file that cannot be read or written.
    #[error("{action} {path}: {reason}")]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason. Part of the message, and so no [`source`](std::error::Error::source).
        reason: std::io::Error,
    },
    /// A safetensors file that is damaged or holds an unknown kind of tensor.
    #[error("{path} is not a readable safetensors file: {reason}")]
    BadTensorFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A failure inside libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A failure below.
    #[error(transparent)]
    LibtorchExt(#[from] libtorch_ext::Error),
    /// A batch source that cannot deliver.
    #[error("{0}")]
    Data(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The first names of a list that may be long.
fn some(names: &[String]) -> String {
    match names.len() {
        0..=8 => format!("{names:?}"),
        length => format!("{:?} and {} more", &names[..8], length - 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_cut() {
        let names = |n: usize| (0..n).map(|i| format!("w{i}")).collect();
        let error = Error::NameMismatch { missing: names(300), unexpected: names(1) }.to_string();
        assert!(error.ends_with(r#""w7"] and 292 more, unexpected ["w0"]"#), "{error}");
    }
}
