//! Runs pickles and shows what came of them, for tests.

use super::{Heap, Input, Keys, Machine, Object, Value};
use crate::Limits;
use crate::source::Source;
use std::path::Path;

/// Runs a pickle and shows what came of it.
pub(super) fn run(pickle: &[u8]) -> Result<String, String> {
    let source = Source::memory(Path::new("x"), pickle.into());
    let (mut heap, mut keys) = (Heap::new(Limits::default()), Keys::new());
    let mut input = Input::new(&source, source.span());
    let value = Machine::new(&mut input, &mut heap, &mut keys).run();
    value.map(|value| show(&heap, value)).map_err(|problem| problem.to_string())
}

fn show(heap: &Heap, value: Value) -> String {
    let list = |values: &[Value]| -> String {
        values.iter().map(|&value| show(heap, value)).collect::<Vec<_>>().join(" ")
    };
    let Some(object) = heap.get(value) else {
        return format!("{value:?}");
    };
    match object {
        Object::Text(text) => format!("'{text}'"),
        Object::Bytes(span) => format!("bytes {}+{}", span.start, span.len),
        Object::List(values) => format!("[{}]", list(values)),
        Object::Tuple(values) => format!("({})", list(values)),
        Object::Set(values) => format!("set({})", list(values)),
        Object::Dict(pairs) => {
            let pair = |(key, value): &(Value, Value)| list(&[*key, *value]).replace(' ', ":");
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(" "))
        }
        Object::Instance { class, state } => format!("<{class} {}>", show(heap, *state)),
        other => format!("{other:?}"),
    }
}
