//! PyTorch files from before 1.6.

use crate::Problem;
use crate::pickle::{Heap, Value, legacy};
use crate::source::Source;

/// The object in a legacy file.
pub(super) fn read(source: &Source, heap: &mut Heap) -> Result<Value, Problem> {
    legacy::read(source, source.span(), heap, false)
}
