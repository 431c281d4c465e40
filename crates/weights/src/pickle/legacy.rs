//! PyTorch files from before 1.6, and the storages inside of EDM pickles, which have the same form.
//!
//! Five pickles in a row (a magic number, a version, the writer's machine, the object, the keys of its storages), then for
//! each key in that order the number of elements and the elements.

use super::{Fault, Heap, Input, Keys, Machine, Object, Value};
use crate::Problem;
use crate::source::{Source, Span};

/// The first pickle is this number, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// Whether bytes begin as a legacy file does: protocol 2, then the magic number.
pub(crate) fn is_legacy(start: &[u8; 16]) -> bool {
    start[0] == 0x80 && start[2..4] == [0x8a, 10] && start[4..14] == MAGIC
}

/// The object in the legacy file that fills `span`; its storages get their places.
pub(crate) fn read(
    source: &Source,
    span: Span,
    heap: &mut Heap,
    is_embedded: bool,
) -> Result<Value, Problem> {
    let mut input = Input::new(source, span);
    check_header(&mut input, heap)?;
    let mut keys = Keys::new();
    let object = Machine::new(&mut input, heap, &mut keys).embedded(is_embedded).run()?;
    let (at, order) = plain(&mut input, heap)?;
    let Some(Object::List(order)) = heap.get(order) else {
        return Err(Problem::LegacyHeader { at, expected: "the list of storages" });
    };
    for key in order.clone() {
        place(&mut input, heap, &keys, key)?;
    }
    let missing = keys.into_iter().find(|(_, index)| heap.storages[*index].span.is_none());
    missing.map_or(Ok(object), |(key, _)| Err(Problem::MissingStorage(key.into())))
}

/// A pickle without tensors, and where it begins.
fn plain(input: &mut Input<'_>, heap: &mut Heap) -> Result<(u64, Value), Problem> {
    let at = input.position();
    Ok((at, Machine::new(input, heap, &mut Keys::new()).embedded(true).run()?))
}

fn check_header(input: &mut Input<'_>, heap: &mut Heap) -> Result<(), Problem> {
    let (at, magic) = plain(input, heap)?;
    if !matches!(heap.get(magic), Some(Object::Big(bytes)) if **bytes == MAGIC) {
        return Err(Problem::LegacyHeader { at, expected: "the magic number" });
    }
    let (at, version) = plain(input, heap)?;
    if version != Value::Int(VERSION) {
        return Err(Problem::LegacyHeader { at, expected: "version 1001" });
    }
    let (at, machine) = plain(input, heap)?;
    match heap.entry(machine, "little_endian") {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(Problem::BigEndian),
        _ => Err(Problem::LegacyHeader { at, expected: "the description of the writer's machine" }),
    }
}

/// Reads the number of elements of a storage and remembers where they are.
fn place(input: &mut Input<'_>, heap: &mut Heap, keys: &Keys, key: Value) -> Result<(), Problem> {
    let at = input.position();
    let located = |fault| Problem::Pickle { at, fault };
    let Some(key) = heap.text(key) else {
        return Err(located(heap.expected("the key of a storage", key)));
    };
    let index = *keys.get(key).ok_or_else(|| Problem::UnknownStorage(key.into()))?;
    let storage = &mut heap.storages[index];
    let numel = u64::from_le_bytes(input.array().map_err(located)?);
    if numel != storage.numel {
        let size = storage.dtype.size() as u64;
        let (declared, found) = (storage.n_bytes(), numel.saturating_mul(size));
        return Err(Problem::StorageSize { key: key_of(storage), declared, found });
    }
    let span = input.skip(storage.n_bytes()).map_err(|fault| match fault {
        Fault::Truncated => {
            let (declared, found) = (storage.n_bytes(), input.left());
            Problem::StorageSize { key: key_of(storage), declared, found }
        }
        fault => located(fault),
    })?;
    storage.span = Some(span);
    Ok(())
}

fn key_of(storage: &super::Storage) -> String {
    storage.key.to_string()
}
