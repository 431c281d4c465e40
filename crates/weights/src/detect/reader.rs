//! Where a field of a configuration is read from.

use super::DetectFault;
use super::file::Value;
use crate::TensorInfo;
use crate::names::Pattern;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// How a field is read from names and shapes. Patterns whose group `n` counts something are about that number.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reader {
    /// Not to be read; a published network, a default or the user says it.
    Unknown,
    /// The same in every network of the family.
    Constant(Value),
    /// The size of a tensor along an axis.
    Axis(Axis),
    /// A value for the size of a tensor along an axis.
    Lookup { of: Pattern, axis: usize, values: BTreeMap<String, Value> },
    /// One value if a tensor is there, another if not.
    Present { of: Pattern, rank: Option<usize>, yes: Value, no: Value },
    /// Whether a tensor is `is` times as large as another along their first axes.
    Ratio { of: Pattern, to: Pattern, is: usize },
    /// Pixels a side of a square of as many patches as a tensor has along an axis.
    Side { of: Pattern, axis: usize, times: String },
    /// The largest of the numbers `n`.
    Largest { of: Pattern },
    /// The smallest of the numbers `n`.
    Smallest { of: Pattern },
    /// How many numbers `n` there are.
    Count { of: Pattern },
    /// All numbers `n`, the largest first.
    Numbers { of: Pattern },
    /// For all levels with such a tensor, the factor by which their resolution is smaller: 1, 2, 4, …
    Factors { of: Pattern, blocks: String },
    /// For each number `n`, or each level, the size of a tensor along an axis.
    Axes(Axes),
    /// For each number `n` of `each`, one value if there is a tensor `of` with that number, another if not.
    Each { each: Pattern, of: Pattern, yes: Value, no: Value },
    /// For each number `n` of `each`, how many numbers `k` there are with it, at least one.
    Counts { each: Pattern, of: Pattern },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Axis {
    of: Pattern,
    axis: usize,
    rank: Option<usize>,
    /// The field in whose units the size is.
    per: Option<String>,
    /// The value if there is no such tensor.
    absent: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Axes {
    of: Pattern,
    axis: usize,
    /// The field in whose units the sizes are.
    per: Option<String>,
    /// Whether the largest `n` comes first.
    #[serde(default)]
    descending: bool,
    /// The field with the blocks of a level, if `n` counts blocks: of each level the first one.
    blocks: Option<String>,
}

/// Why a field could not be read.
pub(super) struct Unread(String);

impl Unread {
    /// As the error of `field`.
    pub(super) fn of(self, field: &str) -> DetectFault {
        DetectFault::Field { field: field.into(), reason: self.0 }
    }
}

type Read<T> = Result<T, Unread>;

impl Reader {
    /// The value; none if it cannot be read. `config` holds the fields before.
    pub(super) fn read(
        &self,
        tensors: &[TensorInfo],
        config: &Map<String, Json>,
    ) -> Read<Option<Json>> {
        let names = Names { tensors, config };
        Ok(Some(match self {
            Self::Unknown => return Ok(None),
            Self::Constant(value) => value.0.clone(),
            Self::Axis(axis) => axis.read(&names)?,
            Self::Lookup { of, axis, values } => {
                let size = names.axis(names.first(of, None)?, *axis)?.to_string();
                let unread = || Unread(format!("no value is known for the size {size}"));
                values.get(&size).ok_or_else(unread)?.0.clone()
            }
            Self::Present { of, rank, yes, no } => {
                let is_there = names.first(of, *rank).is_ok();
                if is_there { yes.0.clone() } else { no.0.clone() }
            }
            Self::Ratio { of, to, is } => {
                let [of, to] = [of, to].map(|name| names.first(name, None));
                (names.axis(of?, 0)? == is * names.axis(to?, 0)?).into()
            }
            Self::Side { of, axis, times } => {
                let patches = names.axis(names.first(of, None)?, *axis)?;
                (patches.isqrt() as u64 * names.field(times)?).into()
            }
            Self::Largest { of } => names.extreme(of, true)?.into(),
            Self::Smallest { of } => names.extreme(of, false)?.into(),
            Self::Count { of } => names.numbers(of).len().into(),
            Self::Numbers { of } => names.numbers(of).into_keys().rev().collect(),
            Self::Factors { of, blocks } => {
                let per_level = names.field(blocks)? + 1;
                let levels = names.numbers(of).into_keys().map(|n| n.saturating_sub(1) / per_level);
                let levels: BTreeSet<u64> = levels.filter(|&level| level < 32).collect();
                levels.into_iter().map(|level| 1u64 << level).collect()
            }
            Self::Axes(axes) => axes.read(&names)?,
            Self::Each { each, of, yes, no } => {
                let has = names.numbers(of);
                let value = |n| if has.contains_key(&n) { yes.0.clone() } else { no.0.clone() };
                names.numbers(each).into_keys().map(value).collect()
            }
            Self::Counts { each, of } => {
                let mut inner: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
                for found in tensors.iter().filter_map(|tensor| of.captures(&tensor.name)) {
                    let (n, k) = (names.number(&found), found.name("k").map_or("", |k| k.as_str()));
                    inner.entry(n.unwrap_or(0)).or_default().insert(k);
                }
                let count = |n| inner.get(&n).map_or(1, BTreeSet::len).into();
                names.numbers(each).into_keys().map(count).collect::<Vec<Json>>().into()
            }
        }))
    }
}

impl Axis {
    fn read(&self, names: &Names<'_>) -> Read<Json> {
        match (names.first(&self.of, self.rank), &self.absent) {
            (Err(_), Some(absent)) => Ok(absent.0.clone()),
            (tensor, _) => names.units(names.axis(tensor?, self.axis)?, self.per.as_deref()),
        }
    }
}

impl Axes {
    fn read(&self, names: &Names<'_>) -> Read<Json> {
        let mut levels: BTreeMap<u64, &TensorInfo> = names.numbers(&self.of);
        if let Some(blocks) = &self.blocks {
            let per_level = names.field(blocks)? + 1;
            let mut first = BTreeMap::new();
            for (n, tensor) in levels {
                first.entry(n.saturating_sub(1) / per_level).or_insert(tensor);
            }
            levels = first;
        }
        let mut tensors: Vec<_> = levels.into_values().collect();
        if self.descending {
            tensors.reverse();
        }
        let size = |tensor| names.units(names.axis(tensor, self.axis)?, self.per.as_deref());
        tensors.into_iter().map(size).collect()
    }
}

/// The tensors, and the fields that are known so far.
struct Names<'t> {
    tensors: &'t [TensorInfo],
    config: &'t Map<String, Json>,
}

impl<'t> Names<'t> {
    fn first(&self, name: &Pattern, rank: Option<usize>) -> Read<&'t TensorInfo> {
        let mut fitting =
            self.tensors.iter().filter(|t| rank.is_none_or(|rank| rank == t.shape.len()));
        let found = fitting.find(|tensor| name.matches(&tensor.name));
        found.ok_or_else(|| Unread(format!("there is no tensor `{name}`")))
    }

    fn axis(&self, tensor: &TensorInfo, axis: usize) -> Read<usize> {
        let TensorInfo { name, shape, .. } = tensor;
        let size = shape.get(axis).copied();
        size.ok_or_else(|| Unread(format!("`{name}` of shape {shape:?} has no axis {axis}")))
    }

    /// The first tensor for each number `n`.
    fn numbers(&self, name: &Pattern) -> BTreeMap<u64, &'t TensorInfo> {
        let mut numbers = BTreeMap::new();
        for tensor in self.tensors {
            if let Some(n) = name.captures(&tensor.name).and_then(|found| self.number(&found)) {
                numbers.entry(n).or_insert(tensor);
            }
        }
        numbers
    }

    fn number(&self, found: &regex::Captures<'_>) -> Option<u64> {
        found.name("n")?.as_str().parse().ok()
    }

    fn extreme(&self, name: &Pattern, largest: bool) -> Read<u64> {
        let numbers = self.numbers(name);
        let found = if largest { numbers.last_key_value() } else { numbers.first_key_value() };
        let (n, _) = found.ok_or_else(|| Unread(format!("there is no tensor `{name}`")))?;
        Ok(*n)
    }

    fn field(&self, name: &str) -> Read<u64> {
        let value = self.config.get(name).and_then(Json::as_u64);
        value.ok_or_else(|| Unread(format!("it needs `{name}`, which is not known")))
    }

    /// A size in units of a field: a whole number, or the quotient.
    fn units(&self, size: usize, per: Option<&str>) -> Read<Json> {
        let Some(per) = per else { return Ok(size.into()) };
        let (size, unit) = (size as u64, self.field(per)?);
        match unit {
            0 => Err(Unread(format!("`{per}` is 0"))),
            unit if size % unit == 0 => Ok((size / unit).into()),
            unit => Ok(json!(size as f64 / unit as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    fn read(reader: &str, config: Json) -> Result<Json, String> {
        let tensor = |name: &str, shape: &[usize]| TensorInfo {
            name: name.into(),
            dtype: Dtype::F32,
            shape: shape.into(),
        };
        let tensors = [tensor("w", &[48, 3]), tensor("b.0", &[32]), tensor("b.12", &[16])];
        let reader: BTreeMap<String, Reader> = toml::from_str(&format!("it = {reader}")).unwrap();
        let value = reader["it"].read(&tensors, config.as_object().unwrap());
        value.map(Option::unwrap_or_default).map_err(|unread| unread.0)
    }

    #[test]
    fn sizes_are_in_units_of_a_field() {
        let reader = "{ axis = { of = 'w', axis = 0, per = 'unit' } }";
        assert_eq!(read(reader, json!({ "unit": 16 })), Ok(json!(3)));
        assert_eq!(read(reader, json!({ "unit": 96 })), Ok(json!(0.5)));
        assert_eq!(read(reader, json!({ "unit": 0 })), Err("`unit` is 0".into()));
        assert_eq!(read(reader, json!({})), Err("it needs `unit`, which is not known".into()));
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        assert_eq!(
            read("{ numbers = { of = 'b\\.(?<n>[0-9]+)' } }", json!({})),
            Ok(json!([12, 0]))
        );
        assert_eq!(
            read("{ axes = { of = 'b\\.(?<n>[0-9]+)', axis = 0 } }", json!({})),
            Ok(json!([32, 16]))
        );
        let missing = read("{ largest = { of = 'c' } }", json!({}));
        assert_eq!(missing, Err("there is no tensor `c`".into()));
    }

    #[test]
    fn what_is_not_foreseen_is_said() {
        let lookup = "{ lookup = { of = 'w', axis = 1, values = { 2 = 'two' } } }";
        assert_eq!(read(lookup, json!({})), Err("no value is known for the size 3".into()));
        let axis = read("{ axis = { of = 'b\\.0', axis = 1 } }", json!({}));
        assert_eq!(axis, Err("`b.0` of shape [32] has no axis 1".into()));
        assert_eq!(
            read("{ axis = { of = 'c', axis = 0, absent = 'null' } }", json!({})),
            Ok(Json::Null)
        );
    }
}
