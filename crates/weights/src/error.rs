//! What can be wrong with a file of weights.

use crate::{DetectFault, Dtype, Fault, ListFault, NameFault};
use std::path::{Path, PathBuf};

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A problem and the file that has it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct Error {
    path: PathBuf,
    problem: Box<Problem>,
}

impl Error {
    pub(crate) fn new(path: &Path, problem: impl Into<Problem>) -> Self {
        Self { path: path.into(), problem: Box::new(problem.into()) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// What is wrong with a file, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A file that the operating system does not read or write.
    #[error("cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// A file without a byte.
    #[error("the file is empty; its download or copy may have failed")]
    Empty,
    /// A file in none of the known formats.
    #[error(
        "begins with {start:?}, like none of the known formats: safetensors, PyTorch archive (.pt, .pth, .bin), PyTorch \
         before 1.6, pickle (.pkl); it may be another kind of file, or a web page saved in its place"
    )]
    UnknownFormat {
        /// The first bytes as text.
        start: String,
    },

    /// A pickle that is damaged, or that asks for something which is refused.
    #[error("byte {at}: {fault}")]
    Pickle {
        /// Where in the file the instruction begins.
        at: u64,
        /// What is wrong with it.
        #[source]
        fault: Fault,
    },
    /// A legacy file that does not begin as one.
    #[error("byte {at}: expected {expected} of a PyTorch file from before 1.6")]
    LegacyHeader {
        /// Where in the file the record begins.
        at: u64,
        /// The record.
        expected: &'static str,
    },
    /// Numbers with the most significant byte first.
    #[error("was written on a big-endian machine; save it again on a little-endian one")]
    BigEndian,

    /// A damaged archive.
    #[error("is no readable zip archive: {0}; it may be truncated")]
    Archive(#[from] zip::result::ZipError),
    /// An archive without the one record that every PyTorch archive has.
    #[error("is a zip archive without a record `data.pkl` in its top folder: no PyTorch file")]
    NoPickle,
    /// A module of TorchScript in the format before PyTorch 1.4.
    #[error(
        "is a TorchScript module from before PyTorch 1.4 (it has a record `model.json`); load it with `torch.jit.load` of \
         a newer PyTorch and save it again"
    )]
    OldScript,
    /// A record with a name that no PyTorch file has.
    #[error("the archive holds a record named {0:?}; PyTorch keeps all in one top folder")]
    RecordName(String),
    /// Two records of one name.
    #[error(
        "the archive holds two records of one name, and readers could disagree about which counts"
    )]
    DuplicateRecord,
    /// A compressed or encrypted record.
    #[error(
        "record `{0}` is compressed or encrypted, which PyTorch's are not; pack it again without (zip -0)"
    )]
    NotStored(String),
    /// A record that reaches beyond the end of the file.
    #[error("record `{name}` ends at byte {end} of a file of {len} bytes; the file is truncated")]
    RecordPastEnd {
        /// The record.
        name: String,
        /// Where it should end.
        end: u64,
        /// The size of the file.
        len: u64,
    },

    /// A storage that is named and not there.
    #[error("storage `{0}` is used by a tensor and not in the file")]
    MissingStorage(String),
    /// A storage that no tensor has mentioned.
    #[error("the file lists a storage `{0}` that no tensor uses, so that its size is unknown")]
    UnknownStorage(String),
    /// A storage of another size than was declared.
    #[error("storage `{key}` is declared with {declared} bytes and has {found} in the file")]
    StorageSize {
        /// Its key.
        key: String,
        /// The size that the tensors rely on.
        declared: u64,
        /// The size in the file.
        found: u64,
    },

    /// A safetensors header of an impossible size.
    #[error(
        "the header should have {len} bytes; the file has {available} after its first eight, and the limit is {limit}"
    )]
    HeaderLength {
        /// The length that the file states.
        len: u64,
        /// How many bytes follow.
        available: u64,
        /// The largest header that is read.
        limit: u64,
    },
    /// A safetensors header that is no JSON of the right form.
    #[error("the header is no safetensors header: {0}")]
    Header(#[from] serde_json::Error),
    /// A safetensors header that contradicts itself.
    #[error("the header contradicts itself: {0}")]
    HeaderContent(#[from] safetensors::SafeTensorError),
    /// A safetensors file with more or less data than its header says.
    #[error("the tensors need {expected} bytes behind the header, and there are {found}")]
    DataLength {
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// Elements of a type that is not read.
    #[error("tensor `{tensor}` has elements of type {dtype}, which is not supported")]
    UnsupportedDtype {
        /// The tensor.
        tensor: String,
        /// The type's safetensors name.
        dtype: String,
    },

    /// A pickle without tensors.
    #[error("holds no tensor that a name leads to")]
    NoTensors,
    /// A module of TorchScript without tensors of its own.
    #[error(
        "holds its {0} tensors as constants of its code, which have no names (`torch.jit.freeze` makes such files); save \
         the module as it was before"
    )]
    OnlyConstants(usize),
    /// A module of TorchScript that packs its tensors.
    #[error(
        "the object of class `{class}`{} saves itself by a method `__getstate__`, so that its tensors have no names; save \
         its state dict", under(.name)
    )]
    OwnState {
        /// The module.
        name: String,
        /// Its class.
        class: String,
    },
    /// A container that holds itself.
    #[error("`{0}` contains itself")]
    Cyclic(String),
    /// Too many containers inside of each other.
    #[error("`{name}` lies below more than {limit} containers (Limits::depth)")]
    TooDeep {
        /// The name so far.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// Too many names or values.
    #[error("its names and values need more than {limit} bytes (Limits::structure)")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Two tensors that would have one name.
    #[error("two tensors have the name `{0}`")]
    DuplicateName(String),
    /// A key that makes no name.
    #[error("`{name}` has a key that is {kind}; keys must be text or numbers")]
    Key {
        /// The dictionary.
        name: String,
        /// What the key is.
        kind: &'static str,
    },

    /// A name that is not in the file.
    #[error("has no tensor `{name}`{}", suggestion(.nearest.as_deref()))]
    UnknownTensor {
        /// What was asked for.
        name: String,
        /// The name in the file that begins most like it.
        nearest: Option<String>,
    },
    /// A part that is not in the file.
    #[error("has no tensors below `{name}`; it has {known:?}")]
    UnknownSection {
        /// What was asked for.
        name: String,
        /// The first parts of the names in the file.
        known: Vec<String>,
    },
    /// An object that is not in the file.
    #[error("has no object `{name}`; it has {known:?}")]
    UnknownObject {
        /// What was asked for.
        name: String,
        /// Some of those in the file.
        known: Vec<String>,
    },
    /// Metadata that is missing.
    #[error("has no metadata `{0}`")]
    NoMetadata(String),
    /// Metadata that was expected to be JSON and is not.
    #[error("metadata `{key}` is no JSON: {reason}")]
    MetadataJson {
        /// The entry.
        key: String,
        /// The parser's reason.
        reason: serde_json::Error,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("tensor `{tensor}` has a truth value of {value}; it must be 0 or 1")]
    NotBool {
        /// The tensor.
        tensor: String,
        /// The byte.
        value: u8,
    },
    /// A buffer or data of the wrong size.
    #[error("tensor `{tensor}` has {expected} bytes, and {found} were given")]
    WrongLength {
        /// The tensor.
        tensor: String,
        /// The size of its data.
        expected: u64,
        /// The size of what was given.
        found: u64,
    },
    /// A layout that is wrong, or that does not fit.
    #[error("{0}")]
    Names(#[source] Box<NameFault>),
    /// An architecture that is not known.
    #[error("{0}")]
    Detect(#[source] Box<DetectFault>),
    /// A list of a state dict that cannot be read.
    #[error("{0}")]
    List(#[source] ListFault),
    /// A type that elements cannot be converted to.
    #[error("elements become F32, F16 or BF16, not {0}")]
    NoCast(Dtype),
}

fn under(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" under `{name}`") }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; nearest is `{name}`")).unwrap_or_default()
}
