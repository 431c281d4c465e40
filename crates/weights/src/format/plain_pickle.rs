//! A pickle and nothing else.

use crate::Problem;
use crate::pickle::{Heap, Input, Keys, Machine, Value};
use crate::source::Source;

/// The object in a file that is one pickle.
///
/// # Errors
/// [`Problem::MissingStorage`] if it refers to storages outside of itself: there is no outside.
pub(super) fn read(source: &Source, heap: &mut Heap) -> Result<Value, Problem> {
    let mut keys = Keys::new();
    let mut input = Input::new(source, source.span());
    let root = Machine::new(&mut input, heap, &mut keys).run()?;
    match keys.into_keys().next() {
        Some(key) => Err(Problem::MissingStorage(key.into())),
        None => Ok(root),
    }
}
