//! Storages and the tensors that are views of them.

use super::{Fault, Global, Machine, Object, Storage, Value, legacy};
use crate::layout::Layout;

/// Axes of a tensor; PyTorch's own limit.
const AXES: usize = 64;

impl Machine<'_, '_> {
    /// The storage of `('storage', class, key, location, numel)`; legacy files have a sixth entry, always `None`.
    pub(super) fn persistent_storage(&mut self, id: Value) -> Result<Value, Fault> {
        let entries = self.heap.tuple(id).unwrap_or_default();
        let &[tag, class, key, _location, Value::Int(numel), ref view @ ..] = entries else {
            return Err(self.heap.expected("the persistent id of a storage", id));
        };
        if self.heap.text(tag) != Some("storage") || !matches!(view, [] | [Value::None]) {
            return Err(Fault::Expected { expected: "a storage", found: "another persistent id" });
        }
        let Some(Object::Global(Global::Storage(dtype))) = self.heap.get(class) else {
            return Err(self.heap.expected("a class of storages", class));
        };
        let (dtype, size) = (*dtype, dtype.size());
        let key: Box<str> =
            self.heap.text(key).ok_or(self.heap.expected("the key of a storage", key))?.into();
        let n_bytes = u64::try_from(numel).ok().and_then(|n| n.checked_mul(size as u64));
        if n_bytes.is_none() {
            return Err(Fault::StorageSize { key: key.into(), numel, size });
        }
        self.storage(Storage { key, dtype, numel: numel as u64, span: None })
    }

    /// The storage under a key, which every mention of it must describe alike.
    fn storage(&mut self, storage: Storage) -> Result<Value, Fault> {
        let index = match self.keys.get(&storage.key) {
            Some(&index) => {
                let known = &self.heap.storages[index];
                if (known.dtype, known.numel) != (storage.dtype, storage.numel) {
                    return Err(Fault::StorageConflict(storage.key.into()));
                }
                index
            }
            None => {
                let key = storage.key.clone();
                let index = self.heap.add_storage(storage)?;
                self.keys.insert(key, index);
                index
            }
        };
        self.heap.add(Object::Storage(index))
    }

    /// The storage in a byte string that is a legacy file of its own.
    pub(super) fn embedded_storage(&mut self, bytes: Value) -> Result<Value, Fault> {
        let Some(&Object::Bytes(span)) = self.heap.get(bytes) else {
            return Err(self.heap.expected("bytes of the file", bytes));
        };
        if self.is_embedded {
            let (expected, found) = ("a storage", "a storage inside of an embedded storage");
            return Err(Fault::Expected { expected, found });
        }
        let storage = legacy::read(self.input.source(), span, self.heap, true);
        let storage = storage.map_err(|problem| Fault::Embedded(Box::new(problem)))?;
        match self.heap.get(storage) {
            Some(Object::Storage(_)) => Ok(storage),
            _ => Err(self.heap.expected("a storage", storage)),
        }
    }

    /// The tensor of `(storage, offset, size, stride, …)`; what follows is about gradients.
    pub(super) fn tensor(&mut self, values: &[Value]) -> Result<Value, Fault> {
        let &[storage, Value::Int(offset), size, stride, ..] = values else {
            let found = "other arguments";
            return Err(Fault::Expected { expected: "storage, offset, size, stride", found });
        };
        let Some(&Object::Storage(storage)) = self.heap.get(storage) else {
            return Err(self.heap.expected("a storage", storage));
        };
        let (size, stride) = (self.integers(size)?, self.integers(stride)?);
        self.heap.charge(16 * (size.len() + stride.len()))?;
        let Storage { dtype, numel, .. } = self.heap.storages[storage];
        let layout = Box::new(Layout::new(offset, size, stride, numel, dtype.size())?);
        self.heap.add(Object::Tensor { storage, layout })
    }

    /// A parameter is the tensor that it wraps.
    pub(super) fn parameter(&self, tensor: Value) -> Result<Value, Fault> {
        match self.heap.get(tensor) {
            Some(Object::Tensor { .. }) => Ok(tensor),
            _ => Err(self.heap.expected("a tensor", tensor)),
        }
    }

    fn integers(&self, value: Value) -> Result<Vec<i64>, Fault> {
        let values = match self.heap.tuple(value) {
            Some(values) if values.len() <= AXES => values,
            _ => return Err(self.heap.expected("a tuple of sizes", value)),
        };
        let integer = |&value: &Value| match value {
            Value::Int(integer) => Ok(integer),
            _ => Err(self.heap.expected("an integer", value)),
        };
        values.iter().map(integer).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::pickle::trial::run;

    const CALL: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n(";

    fn storage(class: &str, numel: u8) -> Vec<u8> {
        let id = [&b"(U\x07storagectorch\n"[..], class.as_bytes(), b"\nU\x010U\x03cpuK"].concat();
        [&id, &[numel][..], b"tQ"].concat()
    }

    #[test]
    fn a_tensor_is_a_view_of_a_storage() {
        let arguments = b"K\x01(K\x02K\x03t(K\x03K\x01t\x89}tR.";
        let tensor = run(&[CALL, &storage("HalfStorage", 7), arguments].concat()).unwrap();
        let parts = ["storage: 0", "size: [2, 3]", "stride: [3, 1]", "offset: 1"];
        assert!(parts.iter().all(|part| tensor.contains(part)), "{tensor}");
        let past = run(&[CALL, &storage("HalfStorage", 6), arguments].concat()).unwrap_err();
        assert!(past.contains("reaches beyond its storage of 6 elements"), "{past}");
    }

    #[test]
    fn a_storage_is_one_whatever_mentions_it() {
        let twice = [storage("HalfStorage", 6), storage("HalfStorage", 6), b"\x86.".into()];
        assert_eq!(run(&twice.concat()).unwrap(), "(Storage(0) Storage(0))");
        for other in [storage("HalfStorage", 5), storage("FloatStorage", 6)] {
            let error = run(&[storage("HalfStorage", 6), other].concat()).unwrap_err();
            assert!(error.contains("storage `0` is declared twice"), "{error}");
        }
    }

    #[test]
    fn what_is_no_storage_is_refused() {
        for (pickle, message) in [
            (&b"NQ."[..], "expected the persistent id of a storage, found None"),
            (b"(U\x06moduleNNNK\x01tQ.", "expected a storage, found another persistent id"),
            (b"(U\x07storagectorch\nSize\nU\x010NK\x01tQ.", "expected a class of storages"),
            (b"(U\x07storagectorch\nByteStorage\nNNK\x01tQ.", "expected the key of a storage"),
            (b"(U\x07storagectorch\nByteStorage\nU\x010NJ\xff\xff\xff\xfftQ.", "with -1 elements"),
            (b"(U\x07storagectorch\nByteStorage\nU\x010NK\x01K\x01tQ.", "another persistent id"),
        ] {
            let error = run(pickle).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
