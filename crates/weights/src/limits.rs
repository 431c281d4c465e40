//! How much a file may ask for.

/// How much memory and nesting a file may ask for besides its tensors.
///
/// A tensor never needs more than the file holds (or 16 MiB, if it repeats elements by strides of zero), so these limits
/// are about everything else: dictionaries, lists, names, text. The defaults hold the largest published checkpoints many
/// times over; raise them for a file that you trust and that is refused for its size.
///
/// # Example
/// ```
/// let limits = weights::Limits { structure: 256 << 20, ..Default::default() };
/// assert_eq!(limits.depth, 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes for the structure of a file: objects, names, text. The memory in use stays below twice as much.
    pub structure: usize,
    /// How many containers may lie inside of each other on the way to a tensor or a value.
    pub depth: usize,
}

impl Default for Limits {
    /// 32 MiB of structure, 100 levels.
    fn default() -> Self {
        Self { structure: 32 << 20, depth: 100 }
    }
}

impl Limits {
    /// Bytes for the header of a safetensors file; parsed, it takes a few times as much.
    pub(crate) fn header(&self) -> u64 {
        (self.structure / 8) as u64
    }

    /// Bytes for the directory of an archive; parsed, it takes a few times as much.
    pub(crate) fn directory(&self) -> u64 {
        (self.structure / 8) as u64
    }

    /// Bytes for one text.
    pub(crate) fn text(&self) -> u64 {
        (self.structure / 4) as u64
    }
}
