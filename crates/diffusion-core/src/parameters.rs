//! A network's named tensors.

use crate::{Error, Result, tensor_file};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Device, Tensor};

/// One named tensor of a network.
#[derive(Debug)]
pub struct Parameter {
    /// Official state-dict name.
    pub name: String,
    /// The tensor; networks hold shallow clones of it.
    pub tensor: Tensor,
    /// Whether it is trained (`false` for buffers).
    pub trainable: bool,
}

/// A network's named tensors, in the official order.
///
/// Networks register their tensors once, while they are built; optimizers, averages, checkpoints and loaders see all
/// networks through this type only. Copying and loading are strict: names and shapes must match exactly, and values
/// are written into the existing tensors, so that every shallow clone sees them.
///
/// # Example
/// ```
/// use diffusion_core::Parameters;
/// use tch::{Device, Kind, Tensor};
/// let mut params = Parameters::new(Device::Cpu);
/// let weight = params.trainable("w", Tensor::ones([2, 2], (Kind::Float, Device::Cpu)));
/// assert!(weight.requires_grad());
/// assert_eq!(params.count(), 4);
/// ```
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<Parameter>,
    device: Device,
}

impl Parameters {
    /// No tensors yet; those to come live on `device`.
    pub fn new(device: Device) -> Self {
        Self { entries: Vec::new(), device }
    }

    /// The device all tensors live on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Registers a trained tensor and returns the network's handle to it.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn trainable(&mut self, name: &str, init: Tensor) -> Tensor {
        let tensor = init.to_device(self.device).detach().set_requires_grad(true);
        self.push(name, tensor, true)
    }

    /// Registers a constant that belongs to the state dict and returns the network's handle to it.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn buffer(&mut self, name: &str, value: Tensor) -> Tensor {
        let tensor = value.to_device(self.device).detach();
        self.push(name, tensor, false)
    }

    fn push(&mut self, name: &str, tensor: Tensor, trainable: bool) -> Tensor {
        assert!(self.get(name).is_none(), "two tensors are named `{name}`");
        let handle = tensor.shallow_clone();
        self.entries.push(Parameter { name: name.into(), tensor, trainable });
        handle
    }

    /// All tensors in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.entries.iter()
    }

    /// The trained tensors in order.
    pub fn trained(&self) -> impl Iterator<Item = &Parameter> {
        self.entries.iter().filter(|entry| entry.trainable)
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.tensor)
    }

    /// Number of trained values (buffers not counted).
    pub fn count(&self) -> usize {
        self.trained().map(|entry| entry.tensor.numel()).sum()
    }

    /// Turns gradients on or off for every trained tensor.
    pub fn set_requires_grad(&self, on: bool) {
        for entry in self.trained() {
            let _ = entry.tensor.set_requires_grad(on);
        }
    }

    /// Copies all values from a network of the same architecture.
    ///
    /// # Errors
    /// [`Error::NameMismatch`] or [`Error::ShapeMismatch`]; nothing is changed then.
    pub fn copy_from(&self, other: &Self) -> Result<()> {
        self.load(other.iter().map(|entry| (entry.name.clone(), entry.tensor.shallow_clone())))
    }

    /// Copies all values from named tensors, converting their kind to the network's.
    ///
    /// # Errors
    /// [`Error::NameMismatch`] or [`Error::ShapeMismatch`]; nothing is changed then.
    pub fn load(&self, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<()> {
        let mut found: HashMap<String, Tensor> = tensors.into_iter().collect();
        let mut pairs = Vec::new();
        let mut missing = Vec::new();
        for entry in &self.entries {
            match found.remove(&entry.name) {
                Some(value) => pairs.push((entry, value)),
                None => missing.push(entry.name.clone()),
            }
        }
        let mut unexpected: Vec<String> = found.into_keys().collect();
        unexpected.sort();
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(Error::NameMismatch { missing, unexpected });
        }
        for (entry, value) in &pairs {
            let (expected, found) = (entry.tensor.size(), value.size());
            if expected != found {
                return Err(Error::ShapeMismatch { name: entry.name.clone(), expected, found });
            }
        }
        let _guard = tch::no_grad_guard();
        for (entry, value) in pairs {
            entry.tensor.shallow_clone().f_copy_(&value)?;
        }
        Ok(())
    }

    /// Writes all tensors to a safetensors file, with `metadata`.
    ///
    /// # Errors
    /// If the file cannot be written; an existing file is then left as it was.
    pub fn save(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
        let tensors = self.iter().map(|entry| (entry.name.as_str(), &entry.tensor));
        tensor_file::write(path, tensors, metadata)
    }

    /// Reads all tensors from a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read, or as [`Parameters::load`].
    pub fn load_file(&self, path: &Path) -> Result<()> {
        self.load(tensor_file::read(path)?.tensors)
    }
}

impl<'a> IntoIterator for &'a Parameters {
    type Item = &'a Parameter;
    type IntoIter = std::slice::Iter<'a, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn sample(value: f64) -> Parameters {
        let mut params = Parameters::new(Device::Cpu);
        let _ =
            params.trainable("a.weight", Tensor::full([2, 3], value, (Kind::Float, Device::Cpu)));
        let _ = params.buffer("a.filter", Tensor::full([1], value, (Kind::Float, Device::Cpu)));
        params
    }

    #[test]
    fn copying_reaches_the_networks_handles() {
        let (target, source) = (sample(0.0), sample(2.0));
        let handle = target.get("a.weight").unwrap().shallow_clone();
        target.copy_from(&source).unwrap();
        assert_eq!(handle.sum(Kind::Float).double_value(&[]), 12.0);
    }

    #[test]
    fn loading_is_strict_about_names_and_shapes() {
        let params = sample(0.0);
        let error = params.load([("b".into(), Tensor::from(1.0f32))]).unwrap_err();
        assert!(matches!(error, Error::NameMismatch { missing, unexpected }
            if missing == ["a.weight", "a.filter"] && unexpected == ["b"]));
        let wrong = [
            ("a.weight".into(), Tensor::ones([1, 3], (Kind::Float, Device::Cpu))),
            ("a.filter".into(), Tensor::ones([1], (Kind::Float, Device::Cpu))),
        ];
        assert!(matches!(params.load(wrong), Err(Error::ShapeMismatch { .. })));
        assert_eq!(params.get("a.filter").unwrap().double_value(&[0]), 0.0);
    }

    #[test]
    fn a_file_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        sample(3.5).save(&path, &BTreeMap::new()).unwrap();
        let params = sample(0.0);
        params.load_file(&path).unwrap();
        assert_eq!(params.get("a.weight").unwrap().double_value(&[1, 2]), 3.5);
    }
}
