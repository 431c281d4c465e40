//! The file of a family.

use super::reader::Reader;
use super::{DetectFault, Family, Mark, Published};
use crate::names::{Pattern, toml_error};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// A value of a configuration. TOML has no null; the text "null" stands for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Json")]
pub(super) struct Value(pub(super) Json);

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self(if json == "null" { Json::Null } else { json })
    }
}

fn map(values: BTreeMap<String, Value>) -> Map<String, Json> {
    values.into_iter().map(|(field, value)| (field, value.0)).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyFile {
    title: String,
    kind: Option<String>,
    license: String,
    signature: Vec<MarkEntry>,
    #[serde(default)]
    without: Vec<Pattern>,
    fields: Vec<(String, Reader)>,
    #[serde(default)]
    defaults: BTreeMap<String, Value>,
    #[serde(default)]
    published: Vec<PublishedEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkEntry {
    name: Pattern,
    rank: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedEntry {
    name: String,
    when: BTreeMap<String, Value>,
    set: BTreeMap<String, Value>,
    preconditioning: Option<Json>,
}

/// The family `name` of a file.
pub(super) fn parse(name: &str, text: &str) -> Result<Family, DetectFault> {
    let file: FamilyFile = toml::from_str(text).map_err(|error| {
        let (line, message) = toml_error(text, &error);
        DetectFault::Syntax { line, message }
    })?;
    let mark = |MarkEntry { name, rank }| Mark { name, rank };
    let published = |PublishedEntry { name, when, set, preconditioning }| {
        let (when, set) = (map(when), map(set));
        Published { name, when, set, preconditioning }
    };
    let family = Family {
        name: name.into(),
        kind: file.kind.unwrap_or_else(|| name.into()),
        title: file.title,
        license: file.license,
        signature: file.signature.into_iter().map(mark).collect(),
        without: file.without,
        fields: file.fields,
        defaults: map(file.defaults),
        published: file.published.into_iter().map(published).collect(),
    };
    check_fields(&family)?;
    Ok(family)
}

/// Refuses values for fields that the file does not define.
fn check_fields(family: &Family) -> Result<(), DetectFault> {
    let published = family.published.iter().flat_map(|p| p.when.keys().chain(p.set.keys()));
    match family.defaults.keys().chain(published).find(|field| !family.has_field(field)) {
        None => Ok(()),
        Some(field) => {
            let known = family.fields.iter().map(|(name, _)| name.clone()).collect();
            Err(DetectFault::UnknownField { field: field.clone(), known })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "title = ''\nlicense = ''\nsignature = [{ name = 'w' }]\nfields = [\n\
        ['channels', { axis = { of = 'w', axis = 0 } }],\n['heads', 'unknown'],\n]\n";

    fn error(text: &str) -> String {
        parse("f", text).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_found_at_their_line() {
        parse("f", GOOD).unwrap();
        assert!(error(&GOOD.replace("axis = 0", "axes = 0")).starts_with("line 5: unknown field"));
        assert!(error(&GOOD.replace("{ axis", "{ axles")).starts_with("line 5: unknown variant"));
        assert!(error(&GOOD.replace("name = 'w'", "name = '('")).contains("unclosed group"));
        let foreign = format!("{GOOD}[defaults]\ndropout = 0.0\n");
        assert!(error(&foreign).contains("no field `dropout`; its fields are channels, heads"));
    }
}
