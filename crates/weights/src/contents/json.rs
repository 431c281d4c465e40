//! Values as JSON.

use super::children::children;
use crate::Problem;
use crate::pickle::{Global, Heap, Object, Value};
use crate::source::Source;
use num_bigint::BigInt;
use serde_json::{Map, Number, Value as Json, json};

/// Bytes that are shown; of longer ones only the number is.
const SHOWN: u64 = 4 << 10;

/// How much JSON there may still be.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    /// Accounts for a value with `bytes` of text.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Problem> {
        const VALUE: usize = 128; // a value and its share of the map or list around it
        let left = self.left.checked_sub(bytes.saturating_add(VALUE));
        self.left = left.ok_or(Problem::TooMany { limit: self.limit })?;
        Ok(())
    }
}

/// A value as JSON.
///
/// JSON has no word for some values: infinities and NaN are `"inf"`, `"-inf"` and `"nan"`, larger integers
/// `{"big_int": decimal}`, bytes `{"bytes_hex": …}` (long ones `{"bytes": length}`), types `"torch.float16"`, tensors
/// `{"tensor": "F32[2, 3]"}`, objects their attributes.
pub(crate) fn to_json(
    (heap, source): (&Heap, &Source),
    value: Value,
    depth: usize,
    budget: &mut Budget,
) -> Result<Json, Problem> {
    budget.charge(0)?;
    let object = match value {
        Value::None => return Ok(Json::Null),
        Value::Bool(value) => return Ok(value.into()),
        Value::Int(value) => return Ok(value.into()),
        Value::Float(value) => return Ok(float(value)),
        Value::Object(id) => heap.object(id),
    };
    Ok(match object {
        Object::Text(text) => {
            budget.charge(text.len())?;
            (&**text).into()
        }
        Object::Big(bytes) => json!({ "big_int": BigInt::from_signed_bytes_le(bytes).to_string() }),
        Object::Blob(bytes) => hex(bytes, budget)?,
        Object::Bytes(span) if span.len <= SHOWN => {
            let mut bytes = vec![0; span.len as usize];
            source.read_at(span.start, &mut bytes)?;
            hex(&bytes, budget)?
        }
        Object::Bytes(span) => json!({ "bytes": span.len }),
        Object::Global(Global::Dtype(dtype)) => dtype.torch_name().into(),
        Object::Global(global) => format!("{global:?}").into(),
        Object::Storage(_) | Object::NumPyType { .. } => heap.kind(value).into(),
        Object::Tensor { storage, layout } => {
            let dtype = heap.storages[*storage].dtype;
            json!({ "tensor": format!("{dtype}{:?}", layout.shape()) })
        }
        container => {
            let name = || "a value".into();
            let limit = heap.limits.depth;
            let depth =
                depth.checked_sub(1).ok_or_else(|| Problem::TooDeep { name: name(), limit })?;
            collect(heap, container, |value| to_json((heap, source), value, depth, budget))?
        }
    })
}

/// The array or object of what a container holds.
fn collect(
    heap: &Heap,
    container: &Object,
    mut json: impl FnMut(Value) -> Result<Json, Problem>,
) -> Result<Json, Problem> {
    Ok(match container {
        Object::Set(values) => {
            Json::Array(values.iter().map(|&value| json(value)).collect::<Result<_, _>>()?)
        }
        Object::List(_) | Object::Tuple(_) => {
            let values = children(heap, container).map(|(_, value)| json(value));
            Json::Array(values.collect::<Result<_, _>>()?)
        }
        _ => {
            let mut map = Map::new();
            for (key, value) in children(heap, container) {
                map.insert(key.name(heap, "")?, json(value)?);
            }
            Json::Object(map)
        }
    })
}

fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "nan".into(),
        None => (if value > 0.0 { "inf" } else { "-inf" }).into(),
    }
}

fn hex(bytes: &[u8], budget: &mut Budget) -> Result<Json, Problem> {
    budget.charge(2 * bytes.len())?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(json!({ "bytes_hex": hex }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_that_json_lacks_are_words() {
        let words = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(float);
        assert_eq!(words, [json!("inf"), json!("-inf"), json!("nan")]);
        assert_eq!(float(0.1), json!(0.1));
    }
}
