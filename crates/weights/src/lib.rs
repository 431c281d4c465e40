//! Reads the files that trained weights are published in, without running anything in them.
//!
//! | format | files | from |
//! |---|---|---|
//! | [`Safetensors`](Format::Safetensors) | `.safetensors` | Hugging Face, and this workspace |
//! | [`TorchZip`](Format::TorchZip) | `.pt`, `.pth`, `.bin`, `.ckpt` | `torch.save` since PyTorch 1.6 |
//! | [`TorchScript`](Format::TorchScript) | `.pt`, `.ts` | `torch.jit.save` since PyTorch 1.4 |
//! | [`TorchLegacy`](Format::TorchLegacy) | `.pt`, `.pth`, `.bin` | `torch.save` before |
//! | [`Pickle`](Format::Pickle) | `.pkl` | EDM and its descendants (EDM2, SiD, SiDA, GDD) |
//!
//! [`open`] finds out which it is and gives a [`Checkpoint`]: names, types and shapes at once, the elements when they are
//! [read](Checkpoint::read). [`Checkpoint::save_safetensors`] and [`write_safetensors`] write. There is no libtorch in
//! this crate.
//!
//! ```
//! use weights::{Checkpoint, Dtype, Limits};
//!
//! let header = br#"{"scale":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
//! let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0, 0x3c, 0, 0x40]].concat();
//!
//! let file = Checkpoint::from_bytes("scales.safetensors", file, Limits::default())?;
//! assert_eq!(file.tensors()[0].dtype, Dtype::F16);
//! assert_eq!(file.read("scale")?.to_f32(), [1.0, 2.0]);
//! # Ok::<(), weights::Error>(())
//! ```
//!
//! # Networks
//! [`Family`] tells from names and shapes which architecture the tensors are and gives its configuration, [`NameMap`] and
//! [`Mapped`] turn names, shapes and orders of one convention into those of another, and [`StateDictList`] compares tensors
//! with a list. What they know is data, a file for each architecture and each layout.
//!
//! # Trust
//! A pickle is a program, and loading one in Python can do anything. Here the part of it that describes containers,
//! numbers, text and tensors is read as data; the first instruction or name beyond that is an [`Error`] that says which
//! it was and where ([`Fault`]). Source text inside of a file is left alone. Names in archives are never paths. A size is
//! compared with the file before memory is taken, and [`Limits`] bound the rest, so that a damaged or hostile file costs
//! little more than its own size.
//!
//! Nothing is mapped into memory: tensors are read at their place in the file, straight into the caller's buffer.
#![forbid(unsafe_code)]

mod checkpoint;
mod contents;
mod detect;
mod dtype;
mod error;
mod file;
mod format;
mod layout;
mod limits;
mod list;
mod names;
mod object;
mod pickle;
mod source;
mod tensor;
mod write;

pub use checkpoint::{Checkpoint, open};
pub use detect::{DetectFault, Detected, Family};
pub use dtype::Dtype;
pub use error::{Error, Problem, Result};
pub use format::Format;
pub use limits::Limits;
pub use list::{Difference, ListFault, StateDictList};
pub use names::{Mapped, NameFault, NameMap};
pub use object::Object;
pub use pickle::Fault;
pub use tensor::{TensorData, TensorInfo};
pub use write::write_safetensors;
