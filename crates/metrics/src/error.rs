//! What can go wrong while measuring.

use crate::{ImageShape, Recipe, ReferenceProblem};
use std::path::PathBuf;
use tch::Kind;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor that is no batch of images.
    #[error("images must be a batch [B, C, H, W] with B, C, H, W >= 1, but the shape is {shape:?}")]
    NotImages {
        /// The shape that was found.
        shape: Vec<i64>,
    },
    /// Images of another kind than floating point.
    #[error(
        "images must be floating point in [-1, 1], but they are {kind:?}; bytes are converted by `ByteScale::Edm`"
    )]
    NotFloat {
        /// The kind that was found.
        kind: Kind,
    },
    /// Images of another kind than bytes.
    #[error(
        "images must be bytes (u8), but they are {kind:?}; values in [-1, 1] are converted by a `ByteRule`"
    )]
    NotBytes {
        /// The kind that was found.
        kind: Kind,
    },
    /// Images with a number of channels that a feature network cannot take.
    #[error("images have {found} channels; 1 (grey) or 3 (RGB) are needed")]
    Channels {
        /// The number of channels that was found.
        found: i64,
    },
    /// Images smaller than a feature network needs.
    #[error("images are {found}; this feature network needs at least {least}x{least} pixels")]
    TooSmall {
        /// The shape that was found.
        found: ImageShape,
        /// The least height and width.
        least: i64,
    },
    /// Images of another shape than those before them.
    #[error(
        "images are {found}, but the images they are compared with are {expected}; resize them first"
    )]
    MixedShapes {
        /// The shape of the reference or of the first batch.
        expected: ImageShape,
        /// The shape of this batch.
        found: ImageShape,
    },
    /// Images with NaN or infinite values.
    #[error(
        "{count} image(s) of the batch hold NaN or infinite values, the first at position {first}"
    )]
    NonFiniteImages {
        /// How many images of the batch.
        count: i64,
        /// The position of the first one in the batch.
        first: i64,
    },
    /// Features with NaN or infinite values.
    #[error("{count} row(s) of features hold NaN or infinite values, the first is row {first}")]
    NonFiniteFeatures {
        /// How many rows of the batch.
        count: i64,
        /// The first such row of the batch.
        first: i64,
    },
    /// A tensor that is no set of feature vectors.
    #[error("features must be floating point [N, D] with D >= 1, but they are {kind:?} {shape:?}")]
    NotFeatures {
        /// The shape that was found.
        shape: Vec<i64>,
        /// The kind that was found.
        kind: Kind,
    },
    /// Feature vectors of another length than those they are compared with.
    #[error("features have {found} dimensions, but {expected} are needed")]
    Dimension {
        /// The number of dimensions that was needed.
        expected: i64,
        /// The number of dimensions that was found.
        found: i64,
    },
    /// A mean and a covariance that do not fit each other.
    #[error(
        "a mean {mean:?} and a covariance {covariance:?} do not fit: [D] and [D, D] are needed"
    )]
    MomentShapes {
        /// The shape of the mean.
        mean: Vec<i64>,
        /// The shape of the covariance.
        covariance: Vec<i64>,
    },
    /// A mean or covariance with NaN or infinite values.
    #[error("the {what} holds NaN or infinite values")]
    NonFiniteMoments {
        /// `mean` or `covariance`.
        what: &'static str,
    },
    /// A matrix with eigenvalues far below zero: no covariance.
    #[error(
        "the matrix is no covariance: its smallest eigenvalue is {smallest:e}, its largest {largest:e}"
    )]
    NotCovariance {
        /// The smallest eigenvalue.
        smallest: f64,
        /// The largest eigenvalue.
        largest: f64,
    },
    /// Too few images or feature vectors for a statistic.
    #[error("{found} sample(s) are too few: at least {needed} are needed")]
    TooFew {
        /// How many there are.
        found: i64,
        /// How many are needed.
        needed: i64,
    },
    /// More images than a metric keeps.
    #[error(
        "{found} images are more than the {limit} this metric keeps; raise the limit with `with_max_images`"
    )]
    TooMany {
        /// How many there would be.
        found: i64,
        /// How many are allowed.
        limit: i64,
    },
    /// A row that a set of features does not have.
    #[error("row {index} was chosen from {rows} rows of features")]
    Index {
        /// The row.
        index: i64,
        /// How many rows there are.
        rows: i64,
    },
    /// Images and texts, or labels, that are no pairs.
    #[error("{images} images and {texts} texts or labels are no pairs")]
    Pairs {
        /// How many images there are.
        images: i64,
        /// How many texts or labels there are.
        texts: i64,
    },
    /// A vector without a direction.
    #[error("row {row} is zero, so it has no direction")]
    ZeroVector {
        /// Which row, the first.
        row: i64,
    },
    /// A count that must be positive.
    #[error("`{what}` is {value}; at least 1 is needed")]
    NotPositive {
        /// Which count.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// A generator whose images do not have the shape of its latents.
    #[error(
        "the generator returned {found:?} for latents {expected:?}; the shapes must be the same"
    )]
    GeneratorShape {
        /// The shape of the latents.
        expected: Vec<i64>,
        /// The shape that was returned.
        found: Vec<i64>,
    },
    /// Features or statistics by another recipe than those they are compared with.
    #[error(
        "statistics by one recipe are no reference for another: needed are those by \"{expected}\", these are by \"{found}\""
    )]
    OtherRecipe {
        /// The recipe that was needed.
        expected: Box<Recipe>,
        /// The recipe that was found.
        found: Box<Recipe>,
    },
    /// A statistic that the mean and covariance of real features do not decide.
    #[error(
        "{statistic} needs the features of the real images, but the reference ({reference}) holds only their mean and \
         covariance; give the images themselves, or statistics that were saved with features"
    )]
    MomentsOnly {
        /// Its label.
        statistic: &'static str,
        /// Where the reference comes from.
        reference: String,
    },
    /// Sets of features by different recipes.
    #[error(
        "features by one recipe are not comparable with others: those of the real images are by \"{expected}\", these are by \"{found}\""
    )]
    OtherFeatures {
        /// The recipe of the real images.
        expected: String,
        /// The recipe of the others.
        found: String,
    },
    /// A file of reference statistics that cannot be used.
    #[error("{path}: {problem}")]
    Reference {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<ReferenceProblem>,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    File(#[from] diffusion_core::Error),
    /// A failure of a feature network.
    #[error("the feature network: {0}")]
    Network(Box<dyn std::error::Error + Send + Sync>),
    /// A failure inside libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}
