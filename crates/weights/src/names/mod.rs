//! Names, rewritten: state dicts of one convention under the names, shapes and orders of another.
//!
//! What a conversion does is data: a file in `layouts/`, read by [`NameMap`]. Adding one is adding a file.

mod fault;
mod file;
mod mapped;
mod pattern;
mod step;
mod table;

pub use fault::NameFault;
pub use mapped::Mapped;

use crate::{Error, Problem, Result, TensorInfo};
pub(crate) use file::toml_error;
use file::{MapFile, Rest, Sizes};
pub(crate) use pattern::Pattern;
use pattern::Template;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use step::Step;
use table::{Sequence, Words};

/// Every layout that comes with the crate: its name and its file.
const LAYOUTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/layouts.rs"));

/// How the tensors of one convention become those of another, read from a TOML file.
///
/// A file has rules; the first whose pattern matches the whole of a tensor's name says what becomes of the tensor.
///
/// ```toml
/// description = "What it converts, for people."
/// automatic = 'encoder\.query\..*'      # applied without being asked for, if a name matches; may be left out
/// rest = "keep"                         # names that no rule matches are kept, or an error ("refuse", the default)
/// require = { num_head_channels = 64 }  # what the configuration must say
///
/// [[rules]]
/// name = '(?<path>.*)\.query\.(?<end>weight|bias)'   # a regular expression
/// to = "{path}.to_q.{end}"                            # the name as it is, if left out
/// steps = [{ rank = 2 }]                              # "transpose", { rank = 4 }, { qkv = { from = …, to = … } }
///
/// [[rules]]
/// name = '.*\.num_batches_tracked'
/// drop = true
/// ```
///
/// - `rank` adds or takes away axes of length one at the end.
/// - `qkv` moves rows from one order of queries, keys and values to another: `"3-head-dim"`, `"head-3-dim"`,
///   `"head-dim-3"`, or `"use_new_attention_order"`, which is the first or the second as the configuration says. The heads
///   are those of the configuration, `num_head_channels` or `num_heads`.
/// - `[words.W]` is a dictionary; `{W[c]}` in a template is the word for what the group `c` matched.
/// - `[sequences.S]` lists the numbered modules of a U-Net level by level, as often as the configuration says, and is used
///   like words: `{S[i]}`. `guided-diffusion-to-edm-adm.toml` shows how.
/// - `[[constants]]` adds a tensor that the source does not have beside each whose new name matches `beside`.
///
/// # Example
/// ```
/// use weights::NameMap;
///
/// let text = "description = 'no prefix'\n[[rules]]\nname = 'net\\.(?<name>.*)'\nto = '{name}'";
/// assert!(NameMap::parse("mine.toml", text).is_ok());
/// let error = NameMap::parse("mine.toml", &text.replace("to =", "too =")).unwrap_err();
/// assert!(error.to_string().starts_with("mine.toml: line 4"));
/// ```
#[derive(Debug)]
pub struct NameMap {
    file: String,
    description: String,
    automatic: Option<Pattern>,
    rest: Rest,
    require: BTreeMap<String, Json>,
    words: BTreeMap<String, Words>,
    sequences: BTreeMap<String, Sequence>,
    sizes: Option<Sizes>,
    rules: Vec<Rule>,
    constants: Vec<Constant>,
}

/// What becomes of the tensors whose names match.
#[derive(Debug)]
struct Rule {
    name: Pattern,
    action: Action,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Action {
    Keep,
    Drop,
    Rename(Template),
}

/// A tensor that the target has and the source has not.
#[derive(Debug)]
struct Constant {
    beside: Pattern,
    name: Template,
    shape: Vec<usize>,
    value: f32,
}

impl NameMap {
    /// The names of the layouts that come with the crate.
    pub fn names() -> impl Iterator<Item = &'static str> {
        LAYOUTS.iter().map(|(name, _)| *name)
    }

    /// A layout by its name, or one of your own by the path of its file, which ends in `.toml`.
    ///
    /// # Errors
    /// [`NameFault::UnknownLayout`], [`Problem::Io`], or as [`parse`](Self::parse).
    pub fn load(name: &str) -> Result<Self> {
        if let Some((name, text)) = LAYOUTS.iter().find(|(known, _)| *known == name) {
            return Self::parse(&format!("{name}.toml"), text);
        }
        if !name.ends_with(".toml") {
            let known = Self::names().collect();
            return Err(Error::new(Path::new(name), NameFault::UnknownLayout { known }));
        }
        let text =
            fs::read_to_string(name).map_err(|reason| Error::new(Path::new(name), reason))?;
        Self::parse(name, &text)
    }

    /// The layouts that apply to these tensors without being asked for.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), which for the files of this crate is an error in the crate.
    pub fn automatic(tensors: &[TensorInfo]) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for name in Self::names() {
            let map = Self::load(name)?;
            let is_meant = |pattern: &Pattern| tensors.iter().any(|t| pattern.matches(&t.name));
            if map.automatic.as_ref().is_some_and(is_meant) {
                found.push(map);
            }
        }
        Ok(found)
    }

    /// Reads a layout from text; errors call it `file`.
    ///
    /// # Errors
    /// [`Problem::Names`] with the line and what is wrong there: no TOML, an unknown key, step or placeholder, a broken
    /// pattern.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let parsed = MapFile::parse(text).and_then(|parsed| parsed.build(file, text));
        parsed.map_err(|fault| Error::new(Path::new(file), fault))
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it converts, in a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The rule for a name.
    fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name.matches(name))
    }

    /// Refuses a network that the file is not about.
    fn check(&self, config: &Map<String, Json>) -> Result<(), NameFault> {
        for (field, expected) in &self.require {
            let found = config.get(field).cloned().unwrap_or_default();
            if found != *expected {
                let (field, expected) = (field.clone(), expected.clone());
                return Err(NameFault::Requires { field, expected, found });
            }
        }
        Ok(())
    }

    /// Every dictionary of the file, for a network of the configured size.
    fn dictionaries(&self, config: &Map<String, Json>) -> Result<BTreeMap<&str, Words>, NameFault> {
        let mut all: BTreeMap<&str, Words> =
            self.words.iter().map(|(name, words)| (&**name, words.clone())).collect();
        if let Some(sizes) = &self.sizes {
            let sizes = sizes.read(config)?;
            for (name, sequence) in &self.sequences {
                all.insert(name, sequence.expand(&sizes));
            }
        }
        Ok(all)
    }
}

impl From<NameFault> for Problem {
    fn from(fault: NameFault) -> Self {
        Self::Names(Box::new(fault))
    }
}
