//! The formats that files of weights come in: one a file.

mod plain_pickle;
pub(crate) mod safetensors;
mod torch_legacy;
mod torch_zip;

use crate::pickle::{Heap, Object, Value, is_script, legacy};
use crate::source::Source;
use crate::{Limits, Problem};
use std::ffi::OsStr;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A JSON header and raw data (`.safetensors`).
    Safetensors,
    /// An archive of a pickle and raw storages, PyTorch 1.6 and later (`.pt`, `.pth`, `.bin`, `.ckpt`).
    TorchZip,
    /// An archive of a module with its code, `torch.jit.save` since PyTorch 1.4 (`.pt`, `.ts`). The code is left unread.
    ///
    /// Names are those of the attributes: `layers.conv.weight`. The file does not say which tensors the state dict would
    /// leave out, so that all attributes that are tensors count; constants of the code have no names and do not.
    TorchScript,
    /// Pickles and raw storages in a row, PyTorch before 1.6.
    TorchLegacy,
    /// One pickle that holds its storages as byte strings: EDM and its descendants (`.pkl`).
    Pickle,
}

/// First bytes that a pickle without the instruction PROTO could have: those of protocols 0 and 1 that torch and NumPy
/// users might still meet. Reading such a file says best what is wrong with it.
const OLD_PICKLES: &[u8] = b"(c]}";

impl Format {
    /// Finds out the format from the first bytes; a file called `*.safetensors` is taken at its word. What an archive holds
    /// is seen when it is [read](Self::read_object).
    pub(crate) fn detect(source: &Source) -> Result<Self, Problem> {
        let start: [u8; 16] = source.start()?;
        let is_named = source.path().extension() == Some(OsStr::new("safetensors"));
        if source.span().len == 0 {
            Err(Problem::Empty)
        } else if is_named || safetensors::is_safetensors(&start) {
            Ok(Self::Safetensors)
        } else if start.starts_with(b"PK\x03\x04") {
            Ok(Self::TorchZip)
        } else if legacy::is_legacy(&start) {
            Ok(Self::TorchLegacy)
        } else if start[0] == 0x80 || OLD_PICKLES.contains(&start[0]) {
            Ok(Self::Pickle)
        } else {
            let start = String::from_utf8_lossy(&start).trim_end_matches('\0').into();
            Err(Problem::UnknownFormat { start })
        }
    }

    /// The object that a file of a pickle format describes.
    pub(crate) fn read_object(self, source: &Source, limits: Limits) -> Result<Root, Problem> {
        let mut heap = Heap::new(limits);
        let (root, constants) = match self {
            Self::TorchZip => torch_zip::read(source, &mut heap)?,
            Self::TorchLegacy => (torch_legacy::read(source, &mut heap)?, 0),
            _ => (plain_pickle::read(source, &mut heap)?, 0),
        };
        let is_script =
            matches!(heap.get(root), Some(Object::Instance { class, .. }) if is_script(class));
        let format = if is_script { Self::TorchScript } else { self };
        Ok(Root { heap, root, constants, format })
    }
}

/// An object and the heap it lives in.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) heap: Heap,
    pub(crate) root: Value,
    /// Tensors in the code of TorchScript.
    pub(crate) constants: usize,
    pub(crate) format: Format,
}
