//! Patterns that names match, and templates that make names.

use super::NameFault;
use super::table::Words;
use regex::{Captures, Regex};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// A regular expression for whole names.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern {
    text: String,
    regex: Regex,
}

impl TryFrom<String> for Pattern {
    type Error = Box<regex::Error>;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, Box<regex::Error>> {
        Ok(Self { text: text.into(), regex: Regex::new(&format!("^(?:{text})$"))? })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    pub(crate) fn captures<'n>(&self, name: &'n str) -> Option<Captures<'n>> {
        self.regex.captures(name)
    }

    /// The names of its groups.
    pub(super) fn groups(&self) -> Vec<&str> {
        self.regex.capture_names().flatten().collect()
    }
}

/// Text with placeholders: `{group}`, or `{dictionary[group]}`.
#[derive(Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Group(String),
    Word { dictionary: String, group: String },
}

impl Template {
    /// Parses a template on `line`; its placeholders must be `groups`, or words of `dictionaries`.
    pub(super) fn parse(
        text: &str,
        line: usize,
        groups: &[&str],
        dictionaries: &[&str],
    ) -> Result<Self, NameFault> {
        let brace = || NameFault::Brace { line, text: text.into() };
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (placeholder, after) = behind.split_once('}').ok_or_else(brace)?;
            if before.contains('}') {
                return Err(brace());
            }
            pieces.push(Piece::Text(before.into()));
            let piece = Piece::parse(placeholder, groups, dictionaries);
            pieces.push(piece.ok_or_else(|| {
                let words = dictionaries.iter().map(|name| format!("{name}[…]"));
                let known = groups.iter().map(|&name| name.to_owned()).chain(words).collect();
                NameFault::Placeholder { line, placeholder: placeholder.into(), known }
            })?);
            rest = after;
        }
        if rest.contains('}') {
            return Err(brace());
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self(pieces))
    }

    /// The name that `tensor` gets.
    pub(super) fn fill(
        &self,
        tensor: &str,
        captures: &Captures<'_>,
        dictionaries: &BTreeMap<&str, Words>,
    ) -> Result<String, NameFault> {
        let group = |name: &str| captures.name(name).map_or("", |found| found.as_str());
        let mut filled = String::new();
        for piece in &self.0 {
            filled += match piece {
                Piece::Text(text) => text,
                Piece::Group(name) => group(name),
                Piece::Word { dictionary, group: name } => {
                    let words = &dictionaries[&**dictionary];
                    let word = group(name);
                    words.get(word).ok_or_else(|| NameFault::Word {
                        tensor: tensor.into(),
                        word: word.into(),
                        dictionary: dictionary.clone(),
                        known: words.keys().cloned().collect::<Vec<_>>().join(", "),
                    })?
                }
            };
        }
        Ok(filled)
    }
}

impl Piece {
    fn parse(placeholder: &str, groups: &[&str], dictionaries: &[&str]) -> Option<Self> {
        match placeholder.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((dictionary, group)) => {
                let is_known = dictionaries.contains(&dictionary) && groups.contains(&group);
                is_known.then(|| Self::Word { dictionary: dictionary.into(), group: group.into() })
            }
            None => groups.contains(&placeholder).then(|| Self::Group(placeholder.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_the_whole_name() {
        let pattern = Pattern::new("a|b").unwrap();
        assert!(pattern.matches("a") && pattern.matches("b"));
        assert!(!pattern.matches("ab") && !pattern.matches("xa"));
    }

    #[test]
    fn a_template_is_filled() {
        let pattern = Pattern::new(r"x\.(?<i>[0-9]+)\.(?<end>.*)").unwrap();
        let template = Template::parse("y.{w[i]}.{end}!", 1, &["i", "end"], &["w"]).unwrap();
        let words = Words::from([("3".to_owned(), "three".to_owned())]);
        let dictionaries = BTreeMap::from([("w", words)]);
        let fill =
            |name: &str| template.fill(name, &pattern.captures(name).unwrap(), &dictionaries);
        assert_eq!(fill("x.3.bias").unwrap(), "y.three.bias!");
        let error = fill("x.4.bias").unwrap_err().to_string();
        assert_eq!(error, "tensor `x.4.bias`: `4` is not in `w`, which has 3");
    }

    #[test]
    fn a_template_is_checked() {
        let error = |text| Template::parse(text, 7, &["i"], &["w"]).unwrap_err().to_string();
        assert!(error("{j}").contains("line 7: `{j}` is none of the names"));
        assert!(error("{v[i]}").contains("i, w[…]"));
        assert!(error("{w[j]}").contains("`{w[j]}`"));
        assert!(error("a{i").contains("a brace in \"a{i\" has no partner"));
        assert!(error("i}a{i}").contains("has no partner"));
    }
}
