//! What can go wrong when weights are read.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of weights that is not there.
    #[error(
        "there is no file {}: get `{name}` from {url} ({license}{}), put it there or give its path",
        path.display(), checksum(sha256)
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Its published name.
        name: &'static str,
        /// Where it is published.
        url: &'static str,
        /// Under which license.
        license: &'static str,
        /// What its SHA-256 begins with, if that is published.
        sha256: &'static str,
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
    /// A file without a tower of CLIP.
    #[error(
        "{} has no tensor `{tensor}` of a usable shape: it holds no {tower} tower of CLIP, or not of a vision transformer",
        path.display()
    )]
    NoTower {
        /// The file.
        path: PathBuf,
        /// Which tower.
        tower: &'static str,
        /// The tensor that every such tower has.
        tensor: &'static str,
    },
    /// A tower of CLIP of a width that no published one has.
    #[error(
        "{}: the {tower} tower is {width} wide, which no published one is; give its configuration, shapes do not tell its heads",
        path.display()
    )]
    UnknownWidth {
        /// The file.
        path: PathBuf,
        /// Which tower.
        tower: &'static str,
        /// Channels of a token.
        width: i64,
    },
    /// A tower of CLIP that does not fit the recipe.
    #[error(
        "{} holds a tower for {image_size} pixels with embeddings of {embedding} entries; the recipe needs {expected:?}",
        path.display()
    )]
    OtherTower {
        /// The file.
        path: PathBuf,
        /// Side of its images.
        image_size: i64,
        /// Entries of its embeddings.
        embedding: i64,
        /// Those of the recipe.
        expected: [i64; 2],
    },
    /// Images of another shape than a network takes.
    #[error("images are {shape:?}; this network takes [B, 3, {side}, {side}]")]
    ImageSize {
        /// Their shape.
        shape: Vec<i64>,
        /// Side of the network's images.
        side: i64,
    },
    /// Images that a protocol does not crop.
    #[error("images are {height} × {width}; crop them to squares first")]
    NotSquare {
        /// Their height.
        height: i64,
        /// Their width.
        width: i64,
    },
    /// Tokens of another shape or kind than a network takes.
    #[error(
        "tokens are {shape:?} of kind {kind:?}; this network takes [B, {context}] of kind Int64"
    )]
    Context {
        /// Their shape.
        shape: Vec<i64>,
        /// Their kind.
        kind: tch::Kind,
        /// Tokens of a text.
        context: i64,
    },
    /// A token that is not in the vocabulary.
    #[error(
        "token {token} is not in the vocabulary of {vocabulary}; use the tokenizer of the network"
    )]
    Token {
        /// The token.
        token: i64,
        /// Size of the vocabulary.
        vocabulary: i64,
    },
    /// No text where at least one is needed.
    #[error("there are no texts; at least one is needed")]
    NoTexts,
    /// Unusable images or embeddings.
    #[error(transparent)]
    Metric(#[from] metrics::Error),
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

/// What is known of a checksum, for a message.
fn checksum(sha256: &str) -> String {
    match sha256 {
        "" => String::new(),
        digits => format!("; its SHA-256 begins with {digits}"),
    }
}
