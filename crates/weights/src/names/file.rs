//! The file of a layout.

use super::pattern::{Pattern, Template};
use super::step::Step;
use super::table::{Numbers, Sequence, Words};
use super::{Action, Constant, NameFault, NameMap, Rule};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use toml::Spanned;

/// What is in a file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MapFile {
    description: String,
    automatic: Option<Spanned<String>>,
    #[serde(default)]
    rest: Rest,
    #[serde(default)]
    require: BTreeMap<String, Json>,
    sizes: Option<Sizes>,
    #[serde(default)]
    words: BTreeMap<String, Words>,
    #[serde(default)]
    sequences: BTreeMap<String, Sequence>,
    #[serde(default)]
    rules: Vec<RuleEntry>,
    #[serde(default)]
    constants: Vec<ConstantEntry>,
}

/// What becomes of names that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rest {
    #[default]
    Refuse,
    Keep,
}

/// The fields of a configuration that say how large the network is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    resolution: String,
    /// A number, or a list with an element a level.
    levels: String,
    blocks: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: Spanned<String>,
    to: Option<Spanned<String>>,
    #[serde(default)]
    drop: bool,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantEntry {
    beside: Spanned<String>,
    name: Spanned<String>,
    shape: Vec<usize>,
    value: f32,
}

/// The line of a place in a text, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

/// What is wrong with a TOML text, and on which line.
pub(crate) fn toml_error(text: &str, error: &toml::de::Error) -> (usize, String) {
    (error.span().map_or(1, |span| line_of(text, span.start)), error.message().to_owned())
}

impl MapFile {
    pub(super) fn parse(text: &str) -> Result<Self, NameFault> {
        toml::from_str(text).map_err(|error| {
            let (line, message) = toml_error(text, &error);
            NameFault::Syntax { line, message }
        })
    }

    /// The layout, its patterns and templates understood.
    pub(super) fn build(self, file: &str, text: &str) -> Result<NameMap, NameFault> {
        if !self.sequences.is_empty() && self.sizes.is_none() {
            return Err(NameFault::NoSizes);
        }
        let dictionaries: Vec<&str> =
            self.words.keys().chain(self.sequences.keys()).map(String::as_str).collect();
        let reader = Reader { text, dictionaries };
        let rules = self.rules.into_iter().map(|entry| reader.rule(entry));
        let constants = self.constants.into_iter().map(|entry| reader.constant(entry));
        Ok(NameMap {
            file: file.into(),
            description: self.description,
            automatic: self.automatic.map(|text| reader.pattern(&text)).transpose()?,
            rest: self.rest,
            require: self.require,
            sizes: self.sizes,
            rules: rules.collect::<Result<_, _>>()?,
            constants: constants.collect::<Result<_, _>>()?,
            words: self.words,
            sequences: self.sequences,
        })
    }
}

/// Understands patterns and templates of one file.
struct Reader<'t> {
    text: &'t str,
    dictionaries: Vec<&'t str>,
}

impl Reader<'_> {
    fn line(&self, spanned: &Spanned<String>) -> usize {
        line_of(self.text, spanned.span().start)
    }

    fn pattern(&self, text: &Spanned<String>) -> Result<Pattern, NameFault> {
        let line = self.line(text);
        Pattern::new(text.get_ref()).map_err(|reason| NameFault::Pattern { line, reason })
    }

    fn template(&self, text: &Spanned<String>, name: &Pattern) -> Result<Template, NameFault> {
        Template::parse(text.get_ref(), self.line(text), &name.groups(), &self.dictionaries)
    }

    fn rule(&self, entry: RuleEntry) -> Result<Rule, NameFault> {
        let name = self.pattern(&entry.name)?;
        let action = match (&entry.to, entry.drop) {
            (Some(_), true) => {
                return Err(NameFault::RenameAndDrop { line: self.line(&entry.name) });
            }
            (Some(to), false) => Action::Rename(self.template(to, &name)?),
            (None, true) => Action::Drop,
            (None, false) => Action::Keep,
        };
        Ok(Rule { name, action, steps: entry.steps })
    }

    fn constant(&self, entry: ConstantEntry) -> Result<Constant, NameFault> {
        let beside = self.pattern(&entry.beside)?;
        let name = self.template(&entry.name, &beside)?;
        let numel = entry.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        if numel.is_none_or(|numel| numel > 1 << 20) {
            let message =
                format!("a constant of shape {:?} has more than 2^20 elements", entry.shape);
            return Err(NameFault::Syntax { line: self.line(&entry.name), message });
        }
        Ok(Constant { beside, name, shape: entry.shape, value: entry.value })
    }
}

impl Sizes {
    /// The sizes of a configured network.
    pub(super) fn read(&self, config: &Map<String, Json>) -> Result<Numbers, NameFault> {
        let number = |field: &String| {
            let value = config.get(field);
            let list = value.and_then(Json::as_array).map(|list| list.len() as u64);
            let number = value.and_then(Json::as_u64).or(list);
            // Nothing that is published comes near, and what is larger would only cost memory.
            number.filter(|&n| n <= 1 << 16).ok_or_else(|| NameFault::Size(field.clone()))
        };
        let (resolution, levels) = (number(&self.resolution)?, number(&self.levels)?);
        let levels = Some(levels).filter(|&n| n <= 16);
        let levels = levels.ok_or_else(|| NameFault::Size(self.levels.clone()))?;
        let blocks = Some(number(&self.blocks)?).filter(|&n| n <= 1 << 10);
        let blocks = blocks.ok_or_else(|| NameFault::Size(self.blocks.clone()))?;
        Ok(Numbers { resolution, levels, blocks })
    }
}
