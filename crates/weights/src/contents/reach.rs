//! Which objects lead to a tensor.

use crate::pickle::{Heap, Id, Object, Value};

/// For every object of the heap, whether a tensor can be reached from it.
///
/// Backwards from the tensors, so that every object is looked at once, however often it is shared and whatever cycles
/// there are.
pub(super) fn leads_to_tensor(heap: &Heap) -> Vec<bool> {
    let mut parents: Vec<(Id, Id)> = Vec::new();
    for (id, object) in heap.objects() {
        parts(object, &mut |value| {
            if let Value::Object(child) = value {
                parents.push((child, id));
            }
        });
    }
    parents.sort_unstable();
    let mut leads = vec![false; heap.len()];
    let mut next: Vec<Id> = Vec::new();
    for (id, object) in heap.objects() {
        if matches!(object, Object::Tensor { .. }) {
            leads[id.index()] = true;
            next.push(id);
        }
    }
    while let Some(child) = next.pop() {
        let first = parents.partition_point(|&(other, _)| other < child);
        let of_child = parents[first..].iter().take_while(|&&(other, _)| other == child);
        for &(_, parent) in of_child {
            if !std::mem::replace(&mut leads[parent.index()], true) {
                next.push(parent);
            }
        }
    }
    leads
}

/// Calls `visit` with everything that an object refers to. What is in a set has no name, and so does not count.
fn parts(object: &Object, visit: &mut dyn FnMut(Value)) {
    match object {
        Object::List(values) => values.iter().copied().for_each(visit),
        Object::Tuple(values) => values.iter().copied().for_each(visit),
        Object::Dict(pairs) => pairs.iter().map(|pair| pair.1).for_each(visit),
        Object::Instance { state, .. } => visit(*state),
        _ => (),
    }
}
