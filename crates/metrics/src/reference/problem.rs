//! What is wrong with a file of reference statistics.

use std::io;
use zip::result::ZipError;

/// What is wrong with a file of reference statistics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceProblem {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no zip archive, or a damaged one.
    #[error("not a readable NumPy archive: {0}")]
    Archive(#[from] ZipError),
    /// An archive of so many entries that it is none of statistics, or one with two entries of one name.
    #[error("{found} entries are not the arrays of statistics, or two have one name")]
    Entries {
        /// How many entries there are.
        found: usize,
    },
    /// An array that is not there.
    #[error("there is no array `{name}`; there are {found:?}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// The names that are there.
        found: Vec<String>,
    },
    /// Something that does not begin as NumPy's arrays do.
    #[error("`{name}` is not a NumPy array of version 1, 2 or 3")]
    NotArray {
        /// Its name.
        name: &'static str,
    },
    /// An array of other numbers.
    #[error("`{name}` has the type `{found}`; `<f8` and `<f4` can be read")]
    Kind {
        /// Its name.
        name: &'static str,
        /// NumPy's name of the type.
        found: String,
    },
    /// An array of a shape that no mean and no covariance has.
    #[error("`{name}` has the shape {found:?}; [D] and [D, D] with D of 1 to {limit} are needed")]
    Shape {
        /// Its name.
        name: &'static str,
        /// The shape.
        found: Vec<u64>,
        /// The largest dimension that is read.
        limit: u64,
    },
    /// An array with more or fewer bytes than its shape says.
    #[error("`{name}` has {found} bytes where its shape needs {needed}")]
    Length {
        /// Its name.
        name: &'static str,
        /// How many there are.
        found: u64,
        /// How many there should be.
        needed: u64,
    },
    /// A safetensors file that cannot be read.
    #[error(transparent)]
    Tensors(#[from] diffusion_core::Error),
    /// A safetensors file without a recipe.
    #[error(
        "the metadata has no entry `{key}` that can be read; statistics without it have no meaning"
    )]
    NoMetadata {
        /// The entry.
        key: &'static str,
    },
}
