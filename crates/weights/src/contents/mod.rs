//! What an object from a pickle means: names of tensors, values, objects of classes.

mod children;
mod json;
mod names;
mod reach;
mod values;

pub(crate) use json::{Budget, to_json};
pub(crate) use names::names;
pub(crate) use values::values;

/// `prefix.key`, or `key` at the top.
fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.into() } else { format!("{prefix}.{key}") }
}
