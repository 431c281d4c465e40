//! A network's named tensors.

use crate::{Error, FlatLayout, FlatParameters, Result, tensor_file};
use libtorch_ext::rebase;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use tch::{Device, Kind, Tensor};

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
    names: HashSet<String>,
    device: Device,
    /// The memory of the trained tensors, once they are flat.
    flat: OnceCell<(FlatLayout, Tensor)>,
}

impl Parameters {
    /// No tensors yet; those to come live on `device`.
    pub fn new(device: Device) -> Self {
        let (entries, names) = (Vec::new(), HashSet::new());
        Self { entries, names, device, flat: OnceCell::new() }
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

    /// Registers all tensors of `part` as well, under their names. Both see the same tensors from then on.
    ///
    /// For networks that hold another one. Flatten the whole, not the part.
    ///
    /// # Panics
    /// If a name is taken.
    pub fn adopt(&mut self, part: &Parameters) {
        for Parameter { name, tensor, trainable } in part {
            let _ = self.push(name, tensor.shallow_clone(), *trainable);
        }
    }

    fn push(&mut self, name: &str, tensor: Tensor, trainable: bool) -> Tensor {
        assert!(self.names.insert(name.into()), "two tensors are named `{name}`");
        let handle = tensor.shallow_clone();
        let _ = self.flat.take(); // it lacks the new one
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

    /// Moves all trained tensors into one flat buffer and returns those that `keep` accepts by name.
    ///
    /// Every handle of the network stays what it is, with the same values and strides, but lies in the buffer from then
    /// on; loading, copying and saving by name work as before. The move happens once: whoever flattens a network again
    /// gets the same memory, so any number of optimizers and averages may share a network. Flatten a network that is
    /// complete: registering another tensor moves all of them anew at the next call, away from what was returned before.
    ///
    /// # Errors
    /// [`Error::MixedKinds`] if the trained tensors are not all of one kind.
    pub fn flatten(&self, keep: impl Fn(&str) -> bool) -> Result<FlatParameters> {
        let (whole, buffer) = match self.flat.get() {
            Some(flat) => flat,
            None => {
                let flat = self.move_into_one_buffer()?;
                self.flat.get_or_init(|| flat)
            }
        };
        let kept = self.trained().filter(|entry| keep(&entry.name));
        let tensors = kept.map(|entry| entry.tensor.shallow_clone()).collect();
        Ok(FlatParameters::new(whole, buffer, whole.part(&keep), tensors))
    }

    fn move_into_one_buffer(&self) -> Result<(FlatLayout, Tensor)> {
        let kind = self.trained().next().map_or(Kind::Float, |entry| entry.tensor.kind());
        if let Some(other) = self.trained().find(|entry| entry.tensor.kind() != kind) {
            let (name, found) = (other.name.clone(), other.tensor.kind());
            return Err(Error::MixedKinds { name, found, expected: kind });
        }
        let layout = FlatLayout::of(self.trained(), kind);
        let buffer = layout.zeros(self.device);
        let _guard = tch::no_grad_guard();
        for (entry, mut view) in self.trained().zip(layout.views(&buffer)) {
            view.f_copy_(&entry.tensor)?;
            rebase(&entry.tensor, &view)?;
        }
        Ok((layout, buffer))
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
    fn flat_tensors_are_the_networks_own_and_keep_values_and_strides() {
        let ramp = |shape: &[i64]| {
            let count = shape.iter().product::<i64>();
            Tensor::arange(count, (Kind::Float, Device::Cpu)).view(shape)
        };
        let mut params = Parameters::new(Device::Cpu);
        let shapes: [&[i64]; 4] = [&[3], &[2, 3, 4, 5], &[], &[2, 6]];
        let mut handles = shapes.map(ramp);
        handles[1] = handles[1].permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        handles[3] = ramp(&[2, 12]).slice(1, None, None, 2); // has gaps
        let before: Vec<Tensor> = handles.iter().map(Tensor::copy).collect();
        let strides = [vec![1], vec![60, 1, 15, 3], vec![], vec![6, 1]];
        for (i, handle) in handles.iter_mut().enumerate() {
            *handle = params.trainable(&format!("p{i}"), handle.shallow_clone());
        }
        let flat = params.flatten(|_| true).unwrap();
        for i in 0..4 {
            assert_eq!(handles[i], before[i]);
            assert_eq!(handles[i].stride(), strides[i]);
            assert!(handles[i].requires_grad() && handles[i].is_leaf());
            assert_eq!(
                handles[i].data_ptr() as usize % 64,
                flat.weights()[0].data_ptr() as usize % 64
            );
        }
        assert_eq!(flat.weights().len(), 1);
        let _ = tch::no_grad(|| flat.weights()[0].shallow_clone().g_mul_scalar_(2.0));
        assert!(handles.iter().zip(&before).all(|(now, before)| now.detach() == before * 2.0));

        handles[1].square().sum(Kind::Float).backward();
        assert_eq!(handles[1].grad(), handles[1].detach() * 2.0);
    }

    #[test]
    fn flattening_again_gives_the_same_memory() {
        let (params, other) = (sample(1.0), sample(7.0));
        let first = params.flatten(|_| true).unwrap();
        let second = params.flatten(|_| true).unwrap();
        assert_eq!(first.weights()[0].data_ptr(), second.weights()[0].data_ptr());
        params.copy_from(&other).unwrap();
        assert_eq!(
            first.snapshot().narrow(0, 0, 6),
            Tensor::full([6], 7.0, (Kind::Float, Device::Cpu))
        );
        second.overwrite(&(first.snapshot() * 2.0));
        assert_eq!(params.get("a.weight").unwrap().double_value(&[1, 2]), 14.0);
        assert_eq!(other.get("a.weight").unwrap().double_value(&[1, 2]), 7.0);
    }

    #[test]
    fn what_is_left_out_has_no_place_and_no_weight() {
        let mut params = Parameters::new(Device::Cpu);
        for name in ["a", "b", "c", "d", "e"] {
            let _ = params.trainable(name, Tensor::zeros([20], (Kind::Float, Device::Cpu)));
        }
        let flat = params.flatten(|name| !["b", "e"].contains(&name)).unwrap();
        assert_eq!(flat.layout().names().collect::<Vec<_>>(), ["a", "c", "d"]);
        assert_eq!((flat.layout().len(), flat.weights().len(), flat.tensors().len()), (96, 2, 3));
        flat.overwrite(&(flat.layout().zeros(Device::Cpu) + 3.0));
        let sums: Vec<f64> =
            params.trained().map(|p| p.tensor.sum(Kind::Float).double_value(&[])).collect();
        assert_eq!(sums, [60.0, 0.0, 60.0, 60.0, 0.0]);
        assert!(params.flatten(|_| false).unwrap().layout().is_empty());
    }

    #[test]
    fn kinds_that_do_not_mix_are_named() {
        let mut params = sample(0.0);
        let _ = params.trainable("half", Tensor::zeros([2], (Kind::Half, Device::Cpu)));
        let message = params.flatten(|_| true).unwrap_err().to_string();
        assert!(message.contains("`half`") && message.contains("Half"), "{message}");
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
