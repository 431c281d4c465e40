//! What can go wrong when weights are read.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of weights that is not there.
    #[error("there is no file {}: get `{name}` from {url} ({license}), put it there or give its path", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Its published name.
        name: &'static str,
        /// Where it is published.
        url: &'static str,
        /// Under which license.
        license: &'static str,
    },
    /// A file whose bytes are not the published ones.
    #[error(
        "{} is not the published `{name}`: its SHA-256 begins with {found}, not {expected}; get it again from {url}",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The name it is published under.
        name: &'static str,
        /// The beginning of its checksum.
        found: String,
        /// What it should be.
        expected: &'static str,
        /// Where it is published.
        url: &'static str,
    },
    /// A recipe whose network is not here.
    #[error(
        "the recipe {recipe} needs {network}, {output}, which is not among the networks of this crate"
    )]
    NoNetwork {
        /// The recipe.
        recipe: String,
        /// The network that it names.
        network: String,
        /// Which of its outputs.
        output: String,
    },
    /// A file with other weights than those that a recipe names.
    #[error(
        "{} holds weights with the checksum {found}, not {expected} as the recipe says: values by other weights are not comparable",
        path.display()
    )]
    OtherWeights {
        /// The file.
        path: PathBuf,
        /// The checksum in the recipe.
        expected: String,
        /// That of the file's weights.
        found: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason. Part of the message, and so no [`source`](std::error::Error::source).
        reason: std::io::Error,
    },
    /// A file that is damaged, or of an unknown format.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// A file with the tensors of another network.
    #[error("{}: {source}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Which tensors.
        source: diffusion_core::Error,
    },
}
