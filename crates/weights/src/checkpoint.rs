//! A file of weights, opened.

use crate::contents::values;
use crate::file::File;
use crate::format::safetensors::Entry;
use crate::source::Source;
use crate::{Dtype, Error, Format, Limits, Object, Problem, Result, TensorData, TensorInfo};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// A file of weights: what its tensors are called, and where they are.
///
/// Opening a file reads and checks its structure; the tensors stay on disk until they are [`read`](Self::read), one by
/// one. Names are the keys on the way to a tensor, joined with dots; positions in lists count from 0. What lies below one
/// key is a checkpoint of its own: [`within`](Self::within).
///
/// # Example
/// ```no_run
/// let file = weights::open("edm-cifar10-32x32-cond-vp.pkl")?;
/// let network = file.within("ema")?;
/// for tensor in network.tensors() {
///     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
/// }
/// let freqs = network.read("model.map_layer0.weight")?.to_f32();
/// # Ok::<(), weights::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    file: Arc<File>,
    /// What the names below leave out, with its dot.
    prefix: String,
    /// The tensors, named without the prefix.
    order: Vec<TensorInfo>,
    /// Their numbers in the file.
    numbers: Vec<usize>,
    /// Their places in the order.
    index: HashMap<String, usize>,
}

/// Opens a file of weights in any of the known [formats](Format), which is told from its first bytes.
///
/// # Errors
/// An [`Error`] that names the file and the first thing that is wrong with it. Nothing in the file is run, no file is
/// written, and no memory is taken for sizes that the file merely claims.
pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
    Checkpoint::open(path.as_ref(), Limits::default())
}

impl Checkpoint {
    /// As [`open`](crate::open), with other limits.
    ///
    /// # Errors
    /// As [`open`](crate::open).
    pub fn open(path: &Path, limits: Limits) -> Result<Self> {
        let source = Source::open(path).map_err(|reason| Error::new(path, reason))?;
        Self::of(source, limits)
    }

    /// The same for bytes in memory; errors call them `name`.
    ///
    /// # Errors
    /// As [`open`](crate::open).
    pub fn from_bytes(name: &str, bytes: impl Into<Arc<[u8]>>, limits: Limits) -> Result<Self> {
        Self::of(Source::memory(Path::new(name), bytes.into()), limits)
    }

    fn of(source: Source, limits: Limits) -> Result<Self> {
        let path = source.path().to_owned();
        let file = File::read(source, limits);
        let part = file.and_then(|file| Self::part(Arc::new(file), String::new()));
        part.map_err(|problem| Error::new(&path, problem))
    }

    /// The tensors whose names begin with `prefix`.
    fn part(file: Arc<File>, prefix: String) -> Result<Self, Problem> {
        let (mut order, mut numbers, mut index) = (Vec::new(), Vec::new(), HashMap::new());
        for (number, Entry { info, .. }) in file.tensors.iter().enumerate() {
            let Some(name) = info.name.strip_prefix(&prefix) else { continue };
            if index.insert(name.to_owned(), order.len()).is_some() {
                return Err(Problem::DuplicateName(info.name.clone()));
            }
            numbers.push(number);
            order.push(TensorInfo { name: name.into(), ..info.clone() });
        }
        Ok(Self { file, prefix, order, numbers, index })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.source.path()
    }

    /// The format of the file.
    pub fn format(&self) -> Format {
        self.file.format
    }

    /// Every tensor: in a pickle in the order of its dictionaries, in safetensors in that of the data.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.order
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`Problem::UnknownTensor`] with the name that begins most like it.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo> {
        Ok(&self.order[self.place(name)?])
    }

    /// Bytes of all tensors, read one after the other; what they share counts for each.
    pub fn total_bytes(&self) -> u64 {
        self.order.iter().map(|tensor| tensor.n_bytes() as u64).sum()
    }

    /// Reads a tensor.
    ///
    /// The bytes go from the file straight into the result. A tensor with gaps or in another order than row-major, such
    /// as a transposed one, also needs memory for the part of its storage that it spans.
    ///
    /// # Errors
    /// [`Problem::UnknownTensor`], [`Problem::Io`], or [`Problem::NotBool`].
    pub fn read(&self, name: &str) -> Result<TensorData> {
        let info = &self.entry(name)?.info;
        let mut bytes = vec![0; info.n_bytes()];
        self.read_into(name, &mut bytes)?;
        Ok(TensorData { dtype: info.dtype, shape: info.shape.clone(), bytes })
    }

    /// Reads a tensor's elements into a buffer of exactly its size: row-major, little-endian.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Problem::WrongLength`].
    pub fn read_into(&self, name: &str, buffer: &mut [u8]) -> Result<()> {
        let Entry { info, layout, storage } = self.entry(name)?;
        let (expected, found) = (info.n_bytes() as u64, buffer.len() as u64);
        if expected != found {
            let tensor = name.into();
            return Err(self.error(Problem::WrongLength { tensor, expected, found }));
        }
        let source = &self.file.source;
        let read = layout.read(source, *storage, info.dtype.size(), buffer);
        read.map_err(|reason| self.error(reason))?;
        let odd = buffer.iter().find(|&&byte| info.dtype == Dtype::Bool && byte > 1);
        let not_bool = |&value: &u8| self.error(Problem::NotBool { tensor: name.into(), value });
        odd.map_or(Ok(()), |value| Err(not_bool(value)))
    }

    /// The part of the file below `section`: names lose it and the dot behind it.
    ///
    /// # Errors
    /// [`Problem::UnknownSection`] if no name begins so.
    pub fn within(&self, section: &str) -> Result<Self> {
        let prefix = format!("{}{section}.", self.prefix);
        let part = Self::part(self.file.clone(), prefix).map_err(|problem| self.error(problem))?;
        if part.order.is_empty() {
            let first = |info: &TensorInfo| info.name.split('.').next().map(str::to_owned);
            let mut known: Vec<_> = self.order.iter().filter_map(first).collect();
            known.dedup();
            known.truncate(10);
            return Err(self.error(Problem::UnknownSection { name: section.into(), known }));
        }
        Ok(part)
    }

    /// The state dicts of a file that holds several: what [`within`](Self::within) takes. A network counts as one state
    /// dict. Empty for safetensors, whose names say no more than themselves.
    pub fn sections(&self) -> Vec<&str> {
        let sections = self.file.sections.iter();
        sections.filter_map(|name| name.strip_prefix(&self.prefix)).collect()
    }

    /// The free-form metadata of a safetensors file; empty for others.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.file.metadata
    }

    /// A metadata entry that is JSON.
    ///
    /// # Errors
    /// [`Problem::NoMetadata`], or [`Problem::MetadataJson`] (NaN, for one, is no JSON).
    pub fn metadata_json(&self, key: &str) -> Result<Json> {
        let text = self.file.metadata.get(key);
        let text = text.ok_or_else(|| self.error(Problem::NoMetadata(key.into())))?;
        let parsed = serde_json::from_str(text);
        parsed.map_err(|reason| self.error(Problem::MetadataJson { key: key.into(), reason }))
    }

    /// Every value in a pickle that is neither a tensor nor within a network, by its name: numbers, texts, settings.
    ///
    /// JSON has no word for some values: infinities and NaN are `"inf"`, `"-inf"` and `"nan"`, integers beyond 64 bits
    /// `{"big_int": "decimal"}`, bytes `{"bytes_hex": "00ff"}` (beyond 4 KiB `{"bytes": length}`), types
    /// `"torch.float16"`, devices `"cuda:0"`. An empty list or dictionary is a value.
    ///
    /// # Errors
    /// [`Problem::TooMany`] or [`Problem::TooDeep`] beyond the limits, [`Problem::Key`] for a key that makes no name.
    pub fn values(&self) -> Result<BTreeMap<String, Json>> {
        let Some(root) = &self.file.root else { return Ok(BTreeMap::new()) };
        let all = values(root, &self.file.source).map_err(|problem| self.error(problem))?;
        let inside =
            |(name, value): (String, _)| Some((name.strip_prefix(&self.prefix)?.to_owned(), value));
        Ok(all.into_iter().filter_map(inside).collect())
    }

    /// Names of the objects of classes that hold tensors, outer ones first; the part itself has the name `""`.
    pub fn objects(&self) -> Vec<&str> {
        self.file.objects.iter().filter_map(|(name, _)| self.object_name(name)).collect()
    }

    /// The object of that name: its class, how it was built, its attributes.
    ///
    /// # Errors
    /// [`Problem::UnknownObject`], or as [`values`](Self::values).
    pub fn object(&self, name: &str) -> Result<Object> {
        let objects = &self.file.objects;
        let found = objects.iter().find(|(full, _)| self.object_name(full) == Some(name));
        let (Some((_, id)), Some(root)) = (found, &self.file.root) else {
            let known = self.objects().into_iter().take(10).map(str::to_owned).collect();
            return Err(self.error(Problem::UnknownObject { name: name.into(), known }));
        };
        Object::read(root, &self.file.source, *id).map_err(|problem| self.error(problem))
    }

    fn object_name<'n>(&self, full: &'n str) -> Option<&'n str> {
        if self.prefix.strip_suffix('.') == Some(full) {
            return Some("");
        }
        full.strip_prefix(&self.prefix)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        Ok(&self.file.tensors[self.numbers[self.place(name)?]])
    }

    fn place(&self, name: &str) -> Result<usize> {
        self.index.get(name).copied().ok_or_else(|| self.unknown(name))
    }

    pub(crate) fn error(&self, problem: impl Into<Problem>) -> Error {
        Error::new(self.path(), problem)
    }

    fn unknown(&self, name: &str) -> Error {
        let common =
            |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let nearest = self.order.iter().map(|info| &info.name).max_by_key(|other| common(other));
        let nearest = nearest.filter(|other| common(other) > 0).cloned();
        self.error(Problem::UnknownTensor { name: name.into(), nearest })
    }
}
