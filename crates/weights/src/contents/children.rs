//! What a container holds, by name.

use crate::Problem;
use crate::pickle::{Heap, Object, Value, is_script};
use std::collections::HashSet;

const PARAMETERS: &str = "_parameters";
const BUFFERS: &str = "_buffers";
const NON_PERSISTENT: &str = "_non_persistent_buffers_set";
const MODULES: &str = "_modules";

/// Whether an object is a layer or network: its attributes have the entries that PyTorch gives every module, or it is of
/// TorchScript, which keeps tensors and modules among the attributes.
pub(super) fn is_module(heap: &Heap, object: &Object) -> bool {
    matches!(object, Object::Instance { class, state }
        if is_script(class) || has_module_entries(heap, *state))
}

fn has_module_entries(heap: &Heap, state: Value) -> bool {
    [PARAMETERS, BUFFERS, MODULES].iter().all(|key| heap.entry(state, key).is_some())
}

/// The values in a container and their keys, in order. Lists count their positions. Of a module it is what its state dict
/// has: parameters, persistent buffers, then modules; a module of TorchScript does not say which is which.
pub(super) fn children<'h>(
    heap: &'h Heap,
    object: &'h Object,
) -> Box<dyn Iterator<Item = (Key, Value)> + 'h> {
    match object {
        Object::Dict(pairs) => Box::new(pairs.iter().map(|&(key, value)| (Key::Value(key), value))),
        Object::List(values) => Box::new(positions(values)),
        Object::Tuple(values) => Box::new(positions(values)),
        Object::Instance { state, .. } if has_module_entries(heap, *state) => {
            Box::new(state_dict(heap, *state))
        }
        Object::Instance { state, .. } => {
            let pairs = heap.pairs(*state).unwrap_or_default();
            Box::new(pairs.iter().map(|&(key, value)| (Key::Value(key), value)))
        }
        _ => Box::new(std::iter::empty()),
    }
}

fn positions(values: &[Value]) -> impl Iterator<Item = (Key, Value)> {
    values.iter().enumerate().map(|(position, value)| (Key::Position(position), *value))
}

fn state_dict(heap: &Heap, state: Value) -> impl Iterator<Item = (Key, Value)> {
    let part = move |name| heap.entry(state, name).and_then(|dict| heap.pairs(dict));
    let [parameters, buffers, modules] =
        [PARAMETERS, BUFFERS, MODULES].map(|name| part(name).unwrap_or_default());
    let left_out: HashSet<&str> = match heap.entry(state, NON_PERSISTENT).map(|set| heap.get(set)) {
        Some(Some(Object::Set(names))) => {
            names.iter().filter_map(|&name| heap.text(name)).collect()
        }
        _ => HashSet::new(),
    };
    let is_saved = move |key| heap.text(key).is_none_or(|name| !left_out.contains(name));
    let buffers = buffers.iter().filter(move |(key, _)| is_saved(*key));
    let pairs = parameters.iter().chain(buffers).chain(modules);
    pairs.map(|&(key, value)| (Key::Value(key), value))
}

/// What a child is found by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    Value(Value),
    Position(usize),
}

impl Key {
    /// The key as a part of a name.
    pub(super) fn name(self, heap: &Heap, container: &str) -> Result<String, Problem> {
        match self {
            Self::Position(position) => Ok(position.to_string()),
            Self::Value(Value::Int(integer)) => Ok(integer.to_string()),
            Self::Value(Value::Float(float)) => Ok(float.to_string()),
            Self::Value(Value::Bool(value)) => Ok(value.to_string()),
            Self::Value(key) => match heap.text(key) {
                Some(text) => Ok(text.into()),
                None => Err(Problem::Key { name: container.into(), kind: heap.kind(key) }),
            },
        }
    }
}
