//! Architectures, told from the names and shapes of their tensors.
//!
//! What is looked for is data: a file a family in `architectures/`, read by [`Family`]. Adding a family is adding a file.

mod detected;
mod fault;
mod file;
mod reader;

pub use detected::Detected;
pub use fault::DetectFault;

use crate::names::Pattern;
use crate::{Error, Problem, Result, TensorInfo};
use reader::Reader;
use serde_json::{Map, Value as Json};
use std::path::Path;

/// Every family that comes with the crate: its name and its file.
const FAMILIES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/architectures.rs"));

/// A kind of network: how it is recognized, and where each field of its configuration is read from.
///
/// A file says, with regular expressions for whole names of tensors:
///
/// ```toml
/// title = "What it is, for people"
/// kind = "net"                                           # in a model's configuration; without it, the file's name
/// signature = [{ name = 'net\.in\.weight', rank = 4 }]  # a tensor for each of these must be there
/// without = ['shift_.*']                                 # and none of these
/// license = "What is known of published weights."
///
/// fields = [                                             # of the configuration, under their official names
///     ["channels", { axis = { of = 'net\.in\.weight', axis = 0 } }],
///     ["num_heads", "unknown"],
/// ]
///
/// [defaults]                                             # for what shapes do not tell and sampling does not need
/// dropout = 0.0
///
/// [[published]]                                          # for what shapes do not tell, the first that fits
/// name = "the model of the paper"
/// when = { channels = 128 }
/// set = { num_heads = 4 }
/// preconditioning = { kind = "edm" }                     # what the network is evaluated in, if it is always the same
/// ```
///
/// # Example
/// ```
/// use weights::{Dtype, Family, TensorInfo};
///
/// let tensors: Vec<TensorInfo> = Vec::new();
/// assert!(Family::of(&tensors).unwrap_err().to_string().contains("none of the known architectures"));
/// assert!(Family::load("song-unet").is_ok());
/// ```
#[derive(Debug)]
pub struct Family {
    name: String,
    kind: String,
    title: String,
    license: String,
    signature: Vec<Mark>,
    without: Vec<Pattern>,
    fields: Vec<(String, Reader)>,
    defaults: Map<String, Json>,
    published: Vec<Published>,
}

/// A tensor that all networks of a family have.
#[derive(Debug)]
struct Mark {
    name: Pattern,
    rank: Option<usize>,
}

/// What is known of a published network besides its shapes.
#[derive(Debug)]
struct Published {
    name: String,
    when: Map<String, Json>,
    set: Map<String, Json>,
    preconditioning: Option<Json>,
}

impl Family {
    /// The names of the families that come with the crate.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().map(|(name, _)| *name)
    }

    /// The family of that name.
    ///
    /// # Errors
    /// [`DetectFault::UnknownFamily`].
    pub fn load(name: &str) -> Result<Self> {
        match FAMILIES.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => Self::parse(name, text),
            None => {
                let known = Self::names().collect();
                Err(Error::new(Path::new(name), DetectFault::UnknownFamily { known }))
            }
        }
    }

    /// The family that these tensors are a network of.
    ///
    /// # Errors
    /// [`DetectFault::NoFamily`], or [`DetectFault::SeveralFamilies`].
    pub fn of(tensors: &[TensorInfo]) -> Result<Self> {
        let mut found = Vec::new();
        for name in Self::names() {
            let family = Self::load(name)?;
            if family.describes(tensors) {
                found.push(family);
            }
        }
        let error = |fault: DetectFault| Err(Error::new(Path::new("the tensors"), fault));
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                let some = tensors.iter().take(3).map(|tensor| tensor.name.clone()).collect();
                error(DetectFault::NoFamily { known: Self::names().collect(), some })
            }
            _ => {
                let found = found.into_iter().map(|family| family.name).collect();
                error(DetectFault::SeveralFamilies { found })
            }
        }
    }

    /// Reads a family's file from text; `name` is the family's.
    ///
    /// # Errors
    /// [`Problem::Detect`] with the line and what is wrong there.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let parsed = file::parse(name, text);
        parsed.map_err(|fault| Error::new(Path::new(&format!("{name}.toml")), fault))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `kind` in a model's configuration: families of one architecture share it.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it is, in a few words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What is known of the license of published weights.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// Whether its configuration has a field of that name.
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Whether that field is read from names and shapes.
    pub fn reads_field(&self, name: &str) -> bool {
        self.fields
            .iter()
            .any(|(field, reader)| field == name && !matches!(reader, Reader::Unknown))
    }

    /// Whether these tensors can be a network of this family.
    pub fn describes(&self, tensors: &[TensorInfo]) -> bool {
        let is_there = |mark: &Mark| {
            let fits = |t: &&TensorInfo| mark.rank.is_none_or(|rank| rank == t.shape.len());
            tensors.iter().filter(fits).any(|tensor| mark.name.matches(&tensor.name))
        };
        let is_foreign = |name: &Pattern| tensors.iter().any(|t| name.matches(&t.name));
        self.signature.iter().all(is_there) && !self.without.iter().any(is_foreign)
    }
}

impl From<DetectFault> for Problem {
    fn from(fault: DetectFault) -> Self {
        Self::Detect(Box::new(fault))
    }
}
