//! Names of tensors.

use super::children::{children, is_module};
use super::join;
use super::reach::leads_to_tensor;
use crate::Problem;
use crate::format::Root;
use crate::format::safetensors::Entry;
use crate::pickle::{Heap, Id, Object, Value};
use crate::{Limits, TensorInfo};
use std::mem::size_of;

/// Everything that a name leads to in an object.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) tensors: Vec<Entry>,
    /// Objects of classes on the way to tensors, outer ones first.
    pub(crate) objects: Vec<(String, Id)>,
    /// Dictionaries, lists and networks that hold tensors themselves: state dicts. The whole file is not among them.
    pub(crate) sections: Vec<String>,
}

/// Names every tensor in the object by the keys on the way to it.
pub(crate) fn names(root: &Root, limits: Limits) -> Result<Names, Problem> {
    let leads = leads_to_tensor(&root.heap);
    let mut walk = Walk {
        heap: &root.heap,
        leads,
        limits,
        left: limits.structure,
        above: Vec::new(),
        modules: 0,
        names: Names::default(),
    };
    walk.visit("", root.root)?;
    match (walk.names.tensors.len(), root.constants) {
        (0, 0) => Err(Problem::NoTensors),
        (0, n) => Err(Problem::OnlyConstants(n)),
        _ => Ok(walk.names),
    }
}

struct Walk<'h> {
    heap: &'h Heap,
    leads: Vec<bool>,
    limits: Limits,
    /// Bytes that names may still take.
    left: usize,
    /// The containers around the current one.
    above: Vec<Id>,
    /// How many of them are modules.
    modules: usize,
    names: Names,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, value: Value) -> Result<(), Problem> {
        let Value::Object(id) = value else { return Ok(()) };
        if !self.leads[id.index()] {
            return Ok(());
        }
        match self.heap.object(id) {
            Object::Tensor { storage, layout } => {
                self.charge(name.len() + size_of::<Entry>())?;
                let storage = &self.heap.storages[*storage];
                let missing = || Problem::MissingStorage(storage.key.to_string());
                let (dtype, shape) = (storage.dtype, layout.shape().into());
                let info = TensorInfo { name: name.into(), dtype, shape };
                let storage = storage.span.ok_or_else(missing)?;
                self.names.tensors.push(Entry { info, layout: (**layout).clone(), storage });
                Ok(())
            }
            container => self.enter(name, id, container),
        }
    }

    fn enter(&mut self, name: &str, id: Id, container: &Object) -> Result<(), Problem> {
        if self.above.contains(&id) {
            return Err(Problem::Cyclic(name.into()));
        }
        if self.above.len() == self.limits.depth {
            return Err(Problem::TooDeep { name: name.into(), limit: self.limits.depth });
        }
        if let Object::Instance { class, state } = container
            && self.heap.pairs(*state).is_none()
        {
            return Err(Problem::OwnState { name: name.into(), class: class.to_string() });
        }
        self.charge(name.len() + size_of::<Entry>())?;
        self.record(name, id, container);
        let is_module = is_module(self.heap, container);
        self.above.push(id);
        self.modules += usize::from(is_module);
        for (key, value) in children(self.heap, container) {
            self.charge(size_of::<Value>())?;
            if self.leads_to_tensor(value) {
                self.visit(&join(name, &key.name(self.heap, name)?), value)?;
            }
        }
        self.above.pop();
        self.modules -= usize::from(is_module);
        Ok(())
    }

    /// Remembers objects of classes, and state dicts that are not within a network.
    fn record(&mut self, name: &str, id: Id, container: &Object) {
        if matches!(container, Object::Instance { .. }) {
            self.names.objects.push((name.into(), id));
        }
        let is_tensor = |value| matches!(self.heap.get(value), Some(Object::Tensor { .. }));
        let is_section = is_module(self.heap, container)
            || children(self.heap, container).any(|(_, value)| is_tensor(value));
        if self.modules == 0 && is_section && !name.is_empty() {
            self.names.sections.push(name.into());
        }
    }

    fn leads_to_tensor(&self, value: Value) -> bool {
        matches!(value, Value::Object(id) if self.leads[id.index()])
    }

    /// Accounts for memory, and with it for time: what is shared many times is visited many times.
    fn charge(&mut self, bytes: usize) -> Result<(), Problem> {
        let too_many = Problem::TooMany { limit: self.limits.structure };
        self.left = self.left.checked_sub(2 * bytes).ok_or(too_many)?;
        Ok(())
    }
}
