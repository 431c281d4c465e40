//! The objects that a pickle builds.

use super::{Fault, Global};
use crate::layout::Layout;
use crate::source::Span;
use crate::{Dtype, Limits};
use std::mem::size_of;

/// The number of an object in its heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A small value, or a reference to an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Object(Id),
}

/// What a value can refer to.
#[derive(Debug)]
pub(crate) enum Object {
    Text(Box<str>),
    /// An integer of more than 64 bits: two's complement, little-endian.
    Big(Box<[u8]>),
    /// Bytes that are still in the file.
    Bytes(Span),
    /// Bytes that the file spells as text.
    Blob(Box<[u8]>),
    List(Vec<Value>),
    Tuple(Box<[Value]>),
    Set(Vec<Value>),
    /// Pairs in the order of insertion. A key can repeat; the last one counts.
    Dict(Vec<(Value, Value)>),
    Global(Global),
    /// The number of a storage.
    Storage(usize),
    Tensor {
        storage: usize,
        layout: Box<Layout>,
    },
    /// An object of a Python class, which is known by name alone, and its attributes.
    Instance {
        class: Box<str>,
        state: Value,
    },
    /// The type of a NumPy number.
    NumPyType {
        code: Box<str>,
        is_big_endian: bool,
    },
}

/// A storage that tensors are views of.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) key: Box<str>,
    pub(crate) dtype: Dtype,
    pub(crate) numel: u64,
    /// Where its elements are, once that is known.
    pub(crate) span: Option<Span>,
}

impl Storage {
    /// Its size; checked when it was declared.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.numel * self.dtype.size() as u64
    }
}

/// All objects of a file, and how much more there may be.
#[derive(Debug)]
pub(crate) struct Heap {
    objects: Vec<Object>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) limits: Limits,
    left: usize,
}

impl Heap {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { objects: Vec::new(), storages: Vec::new(), limits, left: limits.structure }
    }

    /// Accounts for memory before it is taken.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        let limit = self.limits.structure;
        self.left = self.left.checked_sub(bytes).ok_or(Fault::TooMuch(limit))?;
        Ok(())
    }

    /// Accounts for values that a growing list takes, with what it reserves.
    pub(super) fn charge_values(&mut self, n: usize) -> Result<(), Fault> {
        self.charge(n.saturating_mul(2 * size_of::<Value>()))
    }

    pub(super) fn add(&mut self, object: Object) -> Result<Value, Fault> {
        self.charge(2 * size_of::<Object>())?;
        let full = Fault::TooMuch(self.limits.structure);
        let id = Id(u32::try_from(self.objects.len()).map_err(|_| full)?);
        self.objects.push(object);
        Ok(Value::Object(id))
    }

    pub(super) fn add_text(&mut self, text: String) -> Result<Value, Fault> {
        self.charge(text.len())?;
        self.add(Object::Text(text.into()))
    }

    pub(super) fn add_storage(&mut self, storage: Storage) -> Result<usize, Fault> {
        self.charge(2 * size_of::<Storage>() + storage.key.len())?;
        self.storages.push(storage);
        Ok(self.storages.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = (Id, &Object)> {
        (0..).map(Id).zip(&self.objects)
    }

    pub(crate) fn object(&self, id: Id) -> &Object {
        &self.objects[id.index()]
    }

    pub(crate) fn get(&self, value: Value) -> Option<&Object> {
        if let Value::Object(id) = value { Some(self.object(id)) } else { None }
    }

    pub(super) fn get_mut(&mut self, value: Value) -> Option<&mut Object> {
        if let Value::Object(id) = value { self.objects.get_mut(id.index()) } else { None }
    }

    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        if let Some(Object::Text(text)) = self.get(value) { Some(text) } else { None }
    }

    pub(crate) fn pairs(&self, value: Value) -> Option<&[(Value, Value)]> {
        if let Some(Object::Dict(pairs)) = self.get(value) { Some(pairs) } else { None }
    }

    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        if let Some(Object::Tuple(values)) = self.get(value) { Some(values) } else { None }
    }

    /// The value under a key that is text.
    pub(crate) fn entry(&self, dict: Value, key: &str) -> Option<Value> {
        let mut pairs = self.pairs(dict)?.iter().rev();
        pairs.find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// What a value is, in a word.
    pub(crate) fn kind(&self, value: Value) -> &'static str {
        match value {
            Value::None => "None",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Object(id) => match self.object(id) {
                Object::Text(_) => "text",
                Object::Big(_) => "a large integer",
                Object::Bytes(_) | Object::Blob(_) => "bytes",
                Object::List(_) => "a list",
                Object::Tuple(_) => "a tuple",
                Object::Set(_) => "a set",
                Object::Dict(_) => "a dictionary",
                Object::Global(_) => "a class or function",
                Object::Storage(_) => "a storage",
                Object::Tensor { .. } => "a tensor",
                Object::Instance { .. } => "an object",
                Object::NumPyType { .. } => "a NumPy type",
            },
        }
    }

    /// The error that `value` is not what was expected.
    pub(super) fn expected(&self, expected: &'static str, value: Value) -> Fault {
        Fault::Expected { expected, found: self.kind(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_accounted_for_before_it_is_taken() {
        let mut heap = Heap::new(Limits { structure: 1000, ..Limits::default() });
        assert!(matches!(heap.add_text("x".repeat(1001)), Err(Fault::TooMuch(1000))));
        let n = (0..).take_while(|_| heap.add(Object::List(Vec::new())).is_ok()).count();
        assert!(n >= 5 && heap.len() == n, "{n}");
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let mut heap = Heap::new(Limits::default());
        let key = heap.add_text("a".into()).unwrap();
        let pairs = vec![(key, Value::Int(1)), (key, Value::Int(2)), (Value::None, Value::Int(3))];
        let dict = heap.add(Object::Dict(pairs)).unwrap();
        assert_eq!(heap.entry(dict, "a"), Some(Value::Int(2)));
        assert_eq!(heap.entry(dict, "b"), None);
    }
}
