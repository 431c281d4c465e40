//! What can go wrong when a network is built, saved or loaded.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number in a configuration that no network can have.
    #[error("`{field}` is {value}; it must be at least {minimum} and at most {maximum}")]
    OutOfRange {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: i64,
        /// The smallest value that can be built.
        minimum: i64,
        /// The largest value that can be built.
        maximum: i64,
    },
    /// A dropout probability outside `[0, 1)`.
    #[error("`{field}` is {value}; a dropout probability must be at least 0 and below 1")]
    BadProbability {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A resolution that cannot be halved once for every level after the first.
    #[error(
        "`img_resolution` {img_resolution} cannot be halved for {levels} levels: \
         it must be a multiple of {multiple}, or `channel_mult` must be shorter"
    )]
    IndivisibleResolution {
        /// The resolution of the configuration.
        img_resolution: i64,
        /// The number of levels, the length of `channel_mult`.
        levels: usize,
        /// What the resolution must be a multiple of.
        multiple: i64,
    },
    /// A number that another has to divide.
    #[error("`{field}` is {value}, which is no multiple of {divisor} ({by})")]
    Indivisible {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: i64,
        /// What has to divide it.
        by: &'static str,
        /// The value of that.
        divisor: i64,
    },
    /// A layer whose channels do not split into its normalization groups.
    #[error(
        "layer `{layer}` has {channels} channels, which {groups} normalization groups do not divide; \
         choose `model_channels` a multiple of 4 (of 32 where there are 32 groups)"
    )]
    IndivisibleGroups {
        /// The layer.
        layer: String,
        /// Its channels.
        channels: i64,
        /// The groups they do not split into.
        groups: i64,
    },
    /// Attention whose channels do not split into its heads.
    #[error(
        "layer `{layer}` has {channels} channels, which its {heads} attention heads of about 64 channels do not divide; \
         choose `model_channels` a multiple of 64"
    )]
    IndivisibleHeads {
        /// The layer.
        layer: String,
        /// Its channels.
        channels: i64,
        /// The heads they do not split into.
        heads: i64,
    },
    /// A filter that cannot halve and double the resolution.
    #[error(
        "`resample_filter` is {taps:?}; it must have 2 to 16 taps, an even number, none beyond 65536, and a sum above 0"
    )]
    BadFilter {
        /// The taps.
        taps: Vec<i64>,
    },
    /// An odd number of channels for an embedding, which is half sines and half cosines.
    #[error(
        "an embedding has {channels} channels; half of them are sines and half cosines, so the number must be even"
    )]
    OddEmbedding {
        /// The number of channels.
        channels: i64,
    },
    /// Channels that do not split into normalization groups or heads.
    #[error("`{layer}` has {channels} channels, which `{field}` {parts} does not divide")]
    IndivisibleChannels {
        /// The field of the configuration.
        field: &'static str,
        /// The number of groups or heads that follows from it.
        parts: i64,
        /// The layer.
        layer: String,
        /// Its channels.
        channels: i64,
    },
    /// A variant of the architecture that is known and not built.
    #[error("`{field}` {value} cannot be built; only {supported} can")]
    Unsupported {
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// The value that can be built.
        supported: &'static str,
    },
    /// A list of another length than there are blocks.
    #[error("`{field}` has {found} values for {expected} blocks; state one for each")]
    WrongCount {
        /// The field of the configuration.
        field: &'static str,
        /// The length of the list.
        found: usize,
        /// The number of blocks.
        expected: usize,
    },
    /// A field that another field makes necessary.
    #[error("`{field}` is missing, which `{because}` needs")]
    MissingField {
        /// The field of the configuration.
        field: &'static str,
        /// What needs it.
        because: &'static str,
    },
    /// A field of a published configuration that is unknown and might change numbers.
    #[error("the field `{field}` is unknown and might change numbers; remove it if it does not")]
    UnknownField {
        /// The field.
        field: String,
    },
    /// A model file without the configuration that says how to build the network.
    #[error(
        "{path} has no metadata entry `config`: it holds tensors but not how to build their network; \
         build the network yourself and load the tensors with `Parameters::load_file`"
    )]
    NoConfig {
        /// The file.
        path: PathBuf,
    },
    /// A model file whose configuration cannot be understood.
    #[error("{path}: the metadata entry `config` is not a model configuration: {reason}")]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// A model file whose configuration asks for a far larger network than it holds.
    #[error(
        "the configuration describes a network of {needs} values, but the tensors have {holds}: \
         it belongs to another model"
    )]
    TooFewValues {
        /// Trained values of the network.
        needs: u64,
        /// Values of all tensors in the file.
        holds: u64,
    },
    /// A table of noise levels that is not that of the preconditioning.
    #[error(
        "`u` holds other noise levels than the preconditioning computes for `m` = {m}: \
         the network belongs to another schedule; set the preconditioning's `m`, `c_1` and `c_2`"
    )]
    OtherLevels {
        /// The preconditioning's number of levels.
        m: usize,
    },
    /// A file with another network than was asked for.
    #[error("{path} holds the architecture {found}; `{expected}` was asked for")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// A model file that does not fit the network it describes, or cannot be read.
    #[error("{path}: {reason}")]
    BadModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<Error>,
    },
    /// A preconditioning that cannot be computed.
    #[error(transparent)]
    Schedule(#[from] diffusion_schedule::Error),
    /// A failure in the shared vocabulary: files, tensor names and shapes, libtorch.
    #[error(transparent)]
    Core(#[from] diffusion_core::Error),
}
