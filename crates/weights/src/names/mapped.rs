//! A checkpoint under other names.

use super::file::Rest;
use super::step::Change;
use super::{Action, NameFault, NameMap};
use crate::{Checkpoint, Dtype, Error, Problem, Result, TensorData, TensorInfo};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::path::Path;

/// The tensors of a checkpoint, renamed and rearranged by layouts.
///
/// Nothing is read before it is asked for; then a tensor is read from the file and changed in memory.
///
/// # Example
/// ```
/// use weights::{Checkpoint, Limits, Mapped, NameMap};
///
/// let header = br#"{"net.w":{"dtype":"U8","shape":[1,2],"data_offsets":[0,2]}}"#;
/// let file = [&(header.len() as u64).to_le_bytes()[..], header, &[7, 8]].concat();
/// let file = Checkpoint::from_bytes("file.safetensors", file, Limits::default())?;
///
/// let map = "description = ''\n[[rules]]\nname = 'net\\.(?<n>.*)'\nto = '{n}'\nsteps = ['transpose']";
/// let map = NameMap::parse("mine.toml", map)?;
/// let mapped = Mapped::new(file).apply(&map, &Default::default())?;
/// assert_eq!(mapped.tensors()[0].shape, [2, 1]);
/// assert_eq!(mapped.read("w")?.bytes, [7, 8]);
/// # Ok::<(), weights::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapped {
    checkpoint: Checkpoint,
    tensors: Vec<TensorInfo>,
    origins: Vec<Origin>,
    dropped: Vec<String>,
}

/// Where a tensor comes from.
#[derive(Debug, Clone)]
enum Origin {
    File { name: String, changes: Vec<Change> },
    Constant(f32),
}

impl Mapped {
    /// The checkpoint as it is.
    pub fn new(checkpoint: Checkpoint) -> Self {
        let tensors = checkpoint.tensors().to_vec();
        let file = |t: &TensorInfo| Origin::File { name: t.name.clone(), changes: Vec::new() };
        let origins = tensors.iter().map(file).collect();
        Self { checkpoint, tensors, origins, dropped: Vec::new() }
    }

    /// The same under the names of `map`, for a network with that configuration.
    ///
    /// # Errors
    /// [`Problem::Names`] if the map does not fit the network or a tensor, [`Problem::DuplicateName`] if two tensors would
    /// get one name.
    pub fn apply(self, map: &NameMap, config: &Map<String, Json>) -> Result<Self> {
        let Self { checkpoint, tensors, origins, dropped } = self;
        let result = Self { checkpoint, tensors: Vec::new(), origins: Vec::new(), dropped };
        let old = tensors.into_iter().zip(origins);
        let mapped = result.fill(map, config, old);
        mapped.map_err(|problem| Error::new(Path::new(map.file()), problem))
    }

    fn fill(
        mut self,
        map: &NameMap,
        config: &Map<String, Json>,
        old: impl Iterator<Item = (TensorInfo, Origin)>,
    ) -> Result<Self, Problem> {
        map.check(config)?;
        let dictionaries = map.dictionaries(config)?;
        for (mut tensor, mut origin) in old {
            let Some(rule) = map.rule(&tensor.name) else {
                if map.rest == Rest::Refuse {
                    return Err(NameFault::NoRule(tensor.name).into());
                }
                self.push(tensor, origin);
                continue;
            };
            let name = match (&rule.action, rule.name.captures(&tensor.name)) {
                (Action::Drop, _) => {
                    self.dropped.push(tensor.name);
                    continue;
                }
                (Action::Rename(to), Some(found)) => {
                    to.fill(&tensor.name, &found, &dictionaries)?
                }
                _ => tensor.name.clone(),
            };
            for step in &rule.steps {
                let change = step.prepare(&mut tensor, config)?;
                if let Origin::File { changes, .. } = &mut origin {
                    changes.extend(change);
                }
            }
            self.push(TensorInfo { name, ..tensor }, origin);
        }
        for constant in &map.constants {
            let beside = |tensor: &TensorInfo| {
                let found = constant.beside.captures(&tensor.name)?;
                Some(constant.name.fill(&tensor.name, &found, &dictionaries))
            };
            let names: Vec<_> = self.tensors.iter().filter_map(beside).collect();
            for name in names {
                let (name, shape) = (name?, constant.shape.clone());
                let info = TensorInfo { name, dtype: Dtype::F32, shape };
                self.push(info, Origin::Constant(constant.value));
            }
        }
        self.check_names()?;
        Ok(self)
    }

    fn push(&mut self, tensor: TensorInfo, origin: Origin) {
        self.tensors.push(tensor);
        self.origins.push(origin);
    }

    fn check_names(&self) -> Result<(), Problem> {
        let mut seen = HashMap::new();
        for tensor in &self.tensors {
            if seen.insert(&tensor.name, ()).is_some() {
                return Err(Problem::DuplicateName(tensor.name.clone()));
            }
        }
        Ok(())
    }

    /// The file behind it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Every tensor under its new name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// What was left out, by its name before.
    pub fn dropped(&self) -> &[String] {
        &self.dropped
    }

    /// The name in the file of the tensor that is now called `name`; none for a constant.
    pub fn origin(&self, name: &str) -> Option<&str> {
        let place = self.tensors.iter().position(|tensor| tensor.name == name)?;
        match &self.origins[place] {
            Origin::File { name, .. } => Some(name),
            Origin::Constant(_) => None,
        }
    }

    /// Reads the tensor that is now called `name`.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read(&self, name: &str) -> Result<TensorData> {
        let place = self.tensors.iter().position(|tensor| tensor.name == name);
        let Some(place) = place else {
            let unknown = Problem::UnknownTensor { name: name.into(), nearest: None };
            return Err(self.checkpoint.error(unknown));
        };
        let shape = self.tensors[place].shape.clone();
        match &self.origins[place] {
            Origin::File { name, changes } => {
                let data = self.checkpoint.read(name)?;
                Ok(changes.iter().fold(data, |data, change| change.apply(data)))
            }
            Origin::Constant(value) => {
                let count = shape.iter().product();
                let bytes = std::iter::repeat_n(value.to_le_bytes(), count).flatten().collect();
                Ok(TensorData { dtype: Dtype::F32, shape, bytes })
            }
        }
    }
}
