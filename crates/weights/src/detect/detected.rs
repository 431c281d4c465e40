//! A network's configuration, put together.

use super::{DetectFault, Family, Published};
use crate::{Error, Result, TensorInfo};
use serde_json::{Map, Value as Json};
use std::path::Path;

/// An architecture with its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// The name of the family.
    pub family: String,
    /// The configuration under the official names of its fields.
    pub config: Map<String, Json>,
    /// The preconditioning of the published networks with these sizes, if they share one.
    pub preconditioning: Option<Json>,
    /// Everything in the configuration that shapes do not tell, and where it is from: a sentence each.
    pub notes: Vec<String>,
}

impl Family {
    /// The configuration of the network that these tensors are.
    ///
    /// A field is what `given` says; otherwise what names and shapes tell; otherwise what is known of a published network
    /// with these sizes; otherwise the default. All but the second are noted.
    ///
    /// # Errors
    /// [`DetectFault::Ask`] if a field is left without a value, [`DetectFault::UnknownField`] for a `given` field that the
    /// family does not have, [`DetectFault::Field`] if a tensor that should say a field is not there.
    pub fn read(&self, tensors: &[TensorInfo], given: &Map<String, Json>) -> Result<Detected> {
        let detected = self.fields_of(tensors, given);
        detected.map_err(|fault| Error::new(Path::new(&self.name), fault))
    }

    fn fields_of(
        &self,
        tensors: &[TensorInfo],
        given: &Map<String, Json>,
    ) -> Result<Detected, DetectFault> {
        if let Some(field) = given.keys().find(|field| !self.has_field(field)) {
            let known = self.fields.iter().map(|(name, _)| name.clone()).collect();
            return Err(DetectFault::UnknownField { field: field.clone(), known });
        }
        let (mut config, mut notes) = (Map::new(), Vec::new());
        for (field, reader) in &self.fields {
            let read = reader.read(tensors, &config);
            let value = match (given.get(field), read) {
                (Some(given), Ok(Some(read))) if *given != read => {
                    notes.push(format!("{field} = {given} as given; the tensors say {read}"));
                    Some(given.clone())
                }
                (Some(given), Ok(None)) => {
                    notes.push(format!("{field} = {given} as given"));
                    Some(given.clone())
                }
                (Some(given), _) => Some(given.clone()),
                (None, read) => read.map_err(|reason| reason.of(field))?,
            };
            config.extend(value.map(|value| (field.clone(), value)));
        }
        let preconditioning = self.add_published(&mut config, &mut notes);
        self.add_defaults(&mut config, &mut notes);
        let is_missing = |field: &&String| !config.contains_key(*field);
        let missing: Vec<_> =
            self.fields.iter().map(|(name, _)| name).filter(is_missing).cloned().collect();
        if missing.is_empty() {
            Ok(Detected { family: self.name.clone(), config, preconditioning, notes })
        } else {
            Err(DetectFault::Ask { fields: missing })
        }
    }

    /// Adds what is known of the published network with these sizes, and returns its preconditioning.
    fn add_published(
        &self,
        config: &mut Map<String, Json>,
        notes: &mut Vec<String>,
    ) -> Option<Json> {
        let fits = |published: &&Published| {
            published.when.iter().all(|(field, value)| config.get(field) == Some(value))
        };
        let published = self.published.iter().find(fits)?;
        for (field, value) in &published.set {
            if !config.contains_key(field) {
                config.insert(field.clone(), value.clone());
                let name = &published.name;
                notes.push(format!("{field} = {value}, which shapes do not tell, as in {name}"));
            }
        }
        published.preconditioning.clone()
    }

    fn add_defaults(&self, config: &mut Map<String, Json>, notes: &mut Vec<String>) {
        for (field, value) in &self.defaults {
            if !config.contains_key(field) {
                config.insert(field.clone(), value.clone());
                notes.push(format!("{field} = {value}, which shapes do not tell, by default"));
            }
        }
    }
}
