//! What is wrong with an array of images or labels.

/// What is wrong with an array of a NumPy archive that should hold images or their labels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayProblem {
    /// An archive of so many entries that it is none of images, or one with two entries of one name.
    #[error("{found} entries are not the arrays of a set of images, or two have one name")]
    Entries {
        /// How many entries there are.
        found: usize,
    },
    /// The array is not there.
    #[error("there is no such array; there are {found:?}")]
    Missing {
        /// The names that are there.
        found: Vec<String>,
    },
    /// Something that does not begin as NumPy's arrays do.
    #[error("it is not a NumPy array of version 1, 2 or 3")]
    NotArray,
    /// Images of other values than bytes, or in Fortran order.
    #[error(
        "images must be bytes (`|u1`) in C order, but these are `{found}`, Fortran order {fortran_order}"
    )]
    NotBytes {
        /// NumPy's name of the type.
        found: String,
        /// Whether the first axis varies fastest.
        fortran_order: bool,
    },
    /// A shape that no set of images has.
    #[error(
        "images must have the shape [N, H, W, C] with 1 or 3 channels, or [N, H, W], and at most 16384 pixels a side, \
         but this is {found:?}"
    )]
    NotImages {
        /// The shape.
        found: Vec<u64>,
    },
    /// Labels of other values than integers.
    #[error("labels must be integers (`<i8`, `<i4` or `|u1`), but these are `{found}`")]
    NotIntegers {
        /// NumPy's name of the type.
        found: String,
    },
    /// Not one label for each image.
    #[error("labels must have the shape [{images}], one for each image, but this is {found:?}")]
    NotLabels {
        /// The shape.
        found: Vec<u64>,
        /// How many images there are.
        images: u64,
    },
    /// An array with more or fewer bytes than its shape says.
    #[error("it has {found} bytes where its shape needs {needed}")]
    Length {
        /// How many there are.
        found: u64,
        /// How many there should be.
        needed: u64,
    },
    /// A method of compression that NumPy does not use.
    #[error("it is neither stored nor deflated; write it by `numpy.savez`")]
    Method,
}
