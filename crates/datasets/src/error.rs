//! What can be wrong with a data set.

use crate::{ArrayProblem, Split};
use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at this path.
    #[error("{0} does not exist; give a file, a folder, or `shapes` for the built-in pictures")]
    Missing(PathBuf),
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's or the decompressor's reason.
        source: std::io::Error,
    },
    /// A file in none of the known formats.
    #[error(
        "{0} is in no known format; known are a zip of PNG or JPEG images (with or without dataset.json), a folder of \
         them, NumPy archives (*.npz) of bytes, CIFAR-10 binary batches (*.bin) and MNIST IDX files (*idx3-ubyte, also .gz)"
    )]
    UnknownFormat(PathBuf),
    /// A data set without images.
    #[error("{0} holds no images: no PNG or JPEG, no CIFAR-10 batch, no IDX file")]
    Empty(PathBuf),
    /// A data set without the part that was asked for.
    #[error("{path} has no {split} part; open its train part and hold some images out instead")]
    NoSplit {
        /// The data set.
        path: PathBuf,
        /// The part that was asked for.
        split: Split,
    },
    /// A folder with several data sets of one format.
    #[error("{path} holds several data sets ({first}, {second}, …); give the path of one file")]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        first: String,
        /// Another one.
        second: String,
    },
    /// A CIFAR-10 batch that is no whole number of records.
    #[error(
        "{path} has {bytes} bytes, which is no multiple of the 3073 bytes of a CIFAR-10 record; it is truncated or no CIFAR-10 batch"
    )]
    WrongRecordSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A file that does not start as its format does.
    #[error(
        "{path} does not start like an IDX file of {dimensions} dimension(s) of bytes: its first bytes are {found:?}"
    )]
    BadMagic {
        /// The file.
        path: PathBuf,
        /// How many dimensions the file should have.
        dimensions: u8,
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A file that ends too early.
    #[error("{path} is truncated: {expected} bytes are needed, {found} were found")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// How many bytes its header promises.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A file that goes on after its end.
    #[error("{path} has more than the {expected} bytes its header promises")]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// How many bytes its header promises.
        expected: u64,
    },
    /// Something larger than this crate is willing to read.
    #[error("{entry} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The file or archive entry.
        entry: String,
        /// The limit.
        limit: u64,
    },
    /// A damaged archive.
    #[error("{path} is not a readable zip archive: {source}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The reader's reason.
        source: zip::result::ZipError,
    },
    /// An array of a NumPy archive that holds no images, or no labels.
    #[error("{path}, array `{array}`: {problem}")]
    Array {
        /// The archive.
        path: PathBuf,
        /// Which array.
        array: &'static str,
        /// What is wrong with it.
        problem: ArrayProblem,
    },
    /// An image that cannot be decoded.
    #[error("image {entry} is damaged or no PNG or JPEG: {source}")]
    CorruptImage {
        /// The file or archive entry.
        entry: String,
        /// The decoder's reason.
        source: image::ImageError,
    },
    /// A JPEG without its end.
    #[error("image {0} is truncated: its JPEG data has no end marker")]
    TruncatedJpeg(String),
    /// An image whose decoded size is over the limits.
    #[error("image {0} is too large: at most 16384 pixels a side and 256 MiB decoded")]
    ImageTooLarge(String),
    /// An image that can be seen through.
    #[error("image {0} has transparent pixels; flatten it onto a background first")]
    Transparent(String),
    /// An image of another size than the rest.
    #[error(
        "image {entry} is {found:?} (height, width) where the first image is {expected:?}; give a size (`--size`) to resize all"
    )]
    MixedSizes {
        /// The image.
        entry: String,
        /// Height and width of the data set.
        expected: (u32, u32),
        /// Height and width of this image.
        found: (u32, u32),
    },
    /// An image with another number of channels than the rest.
    #[error(
        "image {entry} has {found} channel(s) where the first image has {expected}; convert all with `Color::Grey` or `Color::Rgb`"
    )]
    MixedChannels {
        /// The image.
        entry: String,
        /// Channels of the data set.
        expected: u32,
        /// Channels of this image.
        found: u32,
    },
    /// Raw pixels that do not fill a whole number of images.
    #[error("{bytes} bytes of pixels are no whole number of images of {image_bytes} bytes")]
    WrongPixelCount {
        /// How many bytes there are.
        bytes: usize,
        /// How many one image needs.
        image_bytes: usize,
    },
    /// An impossible image size.
    #[error("image size {0} is impossible; give 1 to 4096 pixels")]
    BadSize(u32),
    /// Labels that cannot be parsed.
    #[error("{path} is no valid dataset.json: {source}")]
    BadLabels {
        /// The file or archive that holds it.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A label that is not an integer.
    #[error("dataset.json gives {entry} the label {label}; labels must be integers")]
    LabelNotInteger {
        /// The image.
        entry: String,
        /// The label as JSON.
        label: String,
    },
    /// A class label outside the data set's classes.
    #[error("{entry} has class label {label}, which is not in 0..{classes}")]
    LabelOutOfRange {
        /// The image.
        entry: String,
        /// Its label.
        label: i64,
        /// The number of classes, or the largest that is supported.
        classes: usize,
    },
    /// A label for an image that is not there.
    #[error("dataset.json of {path} labels {entry}, which is not in the data set")]
    UnknownEntry {
        /// The data set.
        path: PathBuf,
        /// The name of the missing image.
        entry: String,
    },
    /// An image without a label where others have one.
    #[error("{entry} of {path} has no label, but other images do")]
    MissingLabel {
        /// The data set.
        path: PathBuf,
        /// The image.
        entry: String,
    },
    /// Another number of labels than images.
    #[error("{path} has {labels} labels for {images} images")]
    LabelCount {
        /// The label file.
        path: PathBuf,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Images beside folders of images.
    #[error(
        "{0} holds images both directly and in sub-folders; use one folder per class, or no folders"
    )]
    MixedLayout(PathBuf),
    /// More images held out than there are.
    #[error("cannot hold {count} of {len} images out; at least one image must be on either side")]
    HoldOut {
        /// How many images should be held out.
        count: usize,
        /// How many there are.
        len: usize,
    },
    /// A loader over no images.
    #[error("data set `{0}` is empty")]
    NoImages(String),
    /// A batch of no images.
    #[error("a batch of 0 images was asked for; the batch size must be at least 1")]
    ZeroBatch,
    /// A saved position of another data set or run.
    #[error(
        "the saved data position is of a run with {what} {saved}, this one has {here}; resume with the same data and seed"
    )]
    OtherRun {
        /// What differs.
        what: &'static str,
        /// The saved value.
        saved: u64,
        /// The value of this loader.
        here: u64,
    },
    /// A data set that panicked while it made an image.
    #[error("the data set panicked while an image was read: {0}")]
    Panicked(String),
    /// No thread for prefetching.
    #[error("cannot start the prefetch thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl From<Error> for diffusion_core::Error {
    fn from(error: Error) -> Self {
        Self::Data(Box::new(error))
    }
}
