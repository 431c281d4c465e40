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

    /// Writes the saved values of a tensor into `target`, without a graph.
    ///
    /// # Errors
    /// [`Error::MissingState`] if there is none of that name, [`Error::ShapeMismatch`] if it has another shape: libtorch
    /// itself would broadcast it.
    pub fn copy_into(&self, name: &str, target: &Tensor) -> Result<()> {
        let saved = self.tensor(name)?;
        let (expected, found) = (target.size(), saved.size());
        if expected != found {
            return Err(Error::ShapeMismatch { name: name.into(), expected, found });
        }
        let _guard = tch::no_grad_guard();
        target.shallow_clone().f_copy_(saved)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_of_another_shape_is_not_broadcast() {
        let mut state = State::default();
        state.tensors.insert("w".into(), Tensor::from_slice(&[7f32]));
        let target = Tensor::from_slice(&[1f32, 2.0]);
        assert!(matches!(state.copy_into("w", &target), Err(Error::ShapeMismatch { .. })));
        assert_eq!(target, Tensor::from_slice(&[1f32, 2.0]));
        let target = Tensor::from(0f32).view(1).set_requires_grad(true);
        state.copy_into("w", &target).unwrap();
        assert_eq!(target.double_value(&[0]), 7.0);
    }
}
