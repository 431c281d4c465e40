//! Values that are no tensors, by name.

use super::children::{children, is_module};
use super::join;
use super::json::{Budget, to_json};
use crate::Problem;
use crate::format::Root;
use crate::pickle::{Object, Value};
use crate::source::Source;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Every value in the object that is neither a tensor nor within a network, by the keys on the way to it.
///
/// An empty list or dictionary is a value, too.
pub(crate) fn values(root: &Root, source: &Source) -> Result<BTreeMap<String, Json>, Problem> {
    let budget = Budget::new(root.heap.limits.structure);
    let mut walk = Walk { root, source, budget, values: BTreeMap::new() };
    walk.visit("", root.root, root.heap.limits.depth)?;
    Ok(walk.values)
}

struct Walk<'r> {
    root: &'r Root,
    source: &'r Source,
    budget: Budget,
    values: BTreeMap<String, Json>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, value: Value, depth: usize) -> Result<(), Problem> {
        let heap = &self.root.heap;
        self.budget.charge(2 * name.len())?;
        let inner = match heap.get(value) {
            Some(Object::Tensor { .. } | Object::Storage(_)) => return Ok(()),
            Some(object) if is_module(heap, object) => return Ok(()),
            Some(object) => object,
            None => return self.leaf(name, value, depth),
        };
        let mut inner = children(heap, inner).peekable();
        if inner.peek().is_none() {
            return self.leaf(name, value, depth);
        }
        let limit = heap.limits.depth;
        let too_deep = || Problem::TooDeep { name: name.into(), limit };
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        for (key, value) in inner {
            self.visit(&join(name, &key.name(heap, name)?), value, depth)?;
        }
        Ok(())
    }

    fn leaf(&mut self, name: &str, value: Value, depth: usize) -> Result<(), Problem> {
        let json = to_json((&self.root.heap, self.source), value, depth, &mut self.budget)?;
        self.values.insert(name.into(), json);
        Ok(())
    }
}
