//! Saved state: named tensors and named values.

use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use tch::Tensor;

/// Named tensors and named plain values, as they go into a checkpoint.
///
/// # Example
/// ```
/// let mut state = diffusion_core::State::default();
/// state.set("stage", 3);
/// assert_eq!(state.get::<u64>("stage").unwrap(), 3);
/// assert!(state.get::<u64>("step").unwrap_err().to_string().contains("`step`"));
/// ```
#[derive(Debug, Default)]
pub struct State {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Plain values by name.
    pub values: BTreeMap<String, serde_json::Value>,
}

impl State {
    /// Stores a plain value.
    pub fn set(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.values.insert(name.into(), value.into());
    }

    /// Stores anything that can be serialized.
    ///
    /// # Errors
    /// If `value` cannot be written as JSON.
    pub fn set_serialized(&mut self, name: &str, value: &impl Serialize) -> serde_json::Result<()> {
        self.values.insert(name.into(), serde_json::to_value(value)?);
        Ok(())
    }

    /// A plain value.
    ///
    /// # Errors
    /// [`Error::MissingState`] if there is none of that name and type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.values.get(name).ok_or_else(|| Error::MissingState(name.into()))?;
        serde_json::from_value(value.clone()).map_err(|_| Error::MissingState(name.into()))
    }

    /// A tensor.
    ///
    /// # Errors
    /// [`Error::MissingState`] if there is none of that name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::MissingState(name.into()))
    }
}
