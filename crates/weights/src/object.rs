//! Objects of Python classes, as data.

use crate::Problem;
use crate::contents::{Budget, to_json};
use crate::format::Root;
use crate::pickle::{Id, Object as Stored, Value};
use crate::source::Source;
use serde_json::{Map, Value as Json};

/// An object of a Python class: a network and how it was built.
///
/// Objects in the pickles of EDM and its descendants remember the arguments of their constructor, which say everything
/// about the architecture: for the whole network `model_type`, `channel_mult` and so on. How values become JSON is said at
/// [`Checkpoint::values`](crate::Checkpoint::values).
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The name of its class: `EDMPrecond`, `torch.nn.modules.container.ModuleDict`, or `__torch__.Net` in TorchScript.
    pub class: String,
    /// The constructor's positional arguments, if the object remembers them.
    pub init_args: Vec<Json>,
    /// The constructor's named arguments, if the object remembers them.
    pub init_kwargs: Map<String, Json>,
    /// Its other attributes whose names do not begin with `_`, such as `sigma_data`. Tensors and objects among them are
    /// left out.
    pub attributes: Map<String, Json>,
}

impl Object {
    /// The object with number `id`.
    pub(crate) fn read(root: &Root, source: &Source, id: Id) -> Result<Self, Problem> {
        let heap = &root.heap;
        let (class, state) = match heap.object(id) {
            Stored::Instance { class, state } => (class.to_string(), *state),
            _ => (String::new(), Value::None),
        };
        let mut budget = Budget::new(heap.limits.structure);
        let mut json = |value| to_json((heap, source), value, heap.limits.depth, &mut budget);
        let mut argument = |name| heap.entry(state, name).map_or(Ok(Json::Null), &mut json);
        let init_args = match argument("_init_args")? {
            Json::Array(arguments) => arguments,
            _ => Vec::new(),
        };
        let init_kwargs = match argument("_init_kwargs")? {
            Json::Object(arguments) => arguments,
            _ => Map::new(),
        };
        let mut attributes = Map::new();
        for &(key, value) in heap.pairs(state).unwrap_or_default() {
            let is_plain = !matches!(
                heap.get(value),
                Some(Stored::Tensor { .. } | Stored::Storage(_) | Stored::Instance { .. })
            );
            if let Some(name) = heap.text(key).filter(|name| is_plain && !name.starts_with('_')) {
                attributes.insert(name.into(), json(value)?);
            }
        }
        Ok(Self { class, init_args, init_kwargs, attributes })
    }
}
