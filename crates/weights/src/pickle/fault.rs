//! What can be wrong with an instruction of a pickle.

use crate::Problem;

/// What is wrong with an instruction of a pickle, or why it is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The end where more was needed.
    #[error("the file ends in the middle of the pickle; it is truncated or damaged")]
    Truncated,
    /// A byte that is no instruction.
    #[error("0x{0:02x} is no instruction of a pickle; the file is damaged or no pickle")]
    UnknownOpcode(u8),
    /// An instruction that no file of weights needs.
    #[error("instruction {0} is refused: {1}")]
    RefusedOpcode(&'static str, &'static str),
    /// A version of the format that is not known.
    #[error("pickle protocol {0} is not known; the newest is 5")]
    Protocol(u8),
    /// A class or function that is not known.
    #[error(
        "asks for `{module}.{name}`, which is no tensor, container or number; nothing was run. If you trust the file, \
         load it in PyTorch and save the tensors alone"
    )]
    RefusedGlobal {
        /// The Python module.
        module: String,
        /// The name within it.
        name: String,
    },
    /// A class of TorchScript whose objects are written by C++ code.
    #[error(
        "holds an object of the C++ class `{0}`, whose contents PyTorch alone understands (quantized layers are such \
         objects); save the module before it is quantized, or its tensors alone"
    )]
    NativeClass(String),
    /// A tensor that is no array of numbers.
    #[error("a {0} tensor is not read; convert it to a dense one in PyTorch and save that")]
    TensorKind(&'static str),
    /// Something used as what it is not.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What the instruction needs.
        expected: &'static str,
        /// What it got.
        found: &'static str,
    },
    /// A stack with less on it than an instruction takes.
    #[error("the stack is empty; the file is damaged")]
    StackUnderflow,
    /// A group without its beginning.
    #[error("a group ends that has not begun; the file is damaged")]
    NoMark,
    /// A value that was never remembered.
    #[error("value {0} is recalled and was never stored; the file is damaged")]
    NoMemo(u32),
    /// Text that is no UTF-8.
    #[error("text is no UTF-8")]
    NotUtf8,
    /// Something larger than is read.
    #[error("{what} has {len} bytes, more than the limit of {limit} (Limits)")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its size.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A structure that needs too much memory.
    #[error("the structure of the file needs more than {0} bytes of memory (Limits::structure)")]
    TooMuch(usize),
    /// Values on the stack beyond any need.
    #[error("more than {0} values wait on the stack")]
    StackOverflow(usize),
    /// A storage of a negative or overflowing size.
    #[error(
        "storage `{key}` is declared with {numel} elements of {size} bytes, an impossible size"
    )]
    StorageSize {
        /// Its key.
        key: String,
        /// Declared elements.
        numel: i64,
        /// Bytes of an element.
        size: usize,
    },
    /// Two declarations of one storage that differ.
    #[error("storage `{0}` is declared twice, with different sizes or types")]
    StorageConflict(String),
    /// A shape that is no shape.
    #[error("sizes {size:?} with strides {stride:?} are no shape")]
    Shape {
        /// Elements along each axis.
        size: Vec<i64>,
        /// Distances between elements along each axis.
        stride: Vec<i64>,
    },
    /// A tensor that reaches beyond its storage.
    #[error(
        "a tensor of sizes {size:?}, strides {stride:?} and offset {offset} reaches beyond its storage of {numel} elements"
    )]
    PastStorage {
        /// Elements along each axis.
        size: Vec<i64>,
        /// Distances between elements along each axis.
        stride: Vec<i64>,
        /// The first element.
        offset: i64,
        /// Elements of the storage.
        numel: u64,
    },
    /// A tensor that repeats its storage too often.
    #[error("a tensor of sizes {size:?} repeats a storage of {numel} elements beyond 16 MiB")]
    Expanded {
        /// Elements along each axis.
        size: Vec<i64>,
        /// Elements of the storage.
        numel: u64,
    },
    /// A number of NumPy that is not known.
    #[error("a NumPy number of type {0:?} is not supported")]
    NumPy(String),
    /// A storage inside of a pickle that is damaged itself.
    #[error("the embedded storage is damaged: {0}")]
    Embedded(#[source] Box<Problem>),
}
