//! Published files, and reading them.

use crate::{Error, Result};
use diffusion_core::Parameters;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// A file of weights as its authors publish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightFile {
    /// Its name.
    pub name: &'static str,
    /// Where to get it.
    pub url: &'static str,
    /// The first hexadecimal digits of its SHA-256, as far as they are published; may be empty.
    pub sha256: &'static str,
    /// Under which license it is published.
    pub license: &'static str,
}

impl WeightFile {
    /// The file in `folder`, if it is there and its checksum is right.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Checksum`] or [`Error::Io`].
    pub fn in_folder(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.name);
        self.check(&path)?;
        Ok(path)
    }

    /// The file in the cache: `$FEWSTEP_WEIGHTS`, or else the user's cache folder, `fewstep/weights`.
    ///
    /// # Errors
    /// As [`WeightFile::in_folder`].
    pub fn in_cache(&self) -> Result<PathBuf> {
        self.in_folder(&cache_folder())
    }

    /// Whether the file at `path` is this one.
    ///
    /// # Errors
    /// As [`WeightFile::in_folder`].
    pub fn check(&self, path: &Path) -> Result<()> {
        let &Self { name, url, sha256: expected, license } = self;
        if !path.exists() {
            return Err(Error::Missing { path: path.into(), name, url, license, sha256: expected });
        }
        if expected.is_empty() {
            return Ok(());
        }
        let mut found = checksum(path).map_err(|reason| Error::Io { path: path.into(), reason })?;
        found.truncate(expected.len());
        if found == expected {
            return Ok(());
        }
        Err(Error::Checksum { path: path.into(), name, found, expected, url })
    }
}

/// Where published files are looked for.
pub fn cache_folder() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = of("FEWSTEP_WEIGHTS") {
        return folder.into();
    }
    let cache = of("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| of("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.unwrap_or_else(|| ".cache".into()).join("fewstep").join("weights")
}

/// The SHA-256 of a file, in hexadecimal digits.
fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut BufReader::with_capacity(1 << 20, File::open(path)?), &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fills a network from a file of any format that [`weights`] reads: every tensor by its name, of its shape.
///
/// The file may hold the network under the key `section`, and counters `num_batches_tracked`, which evaluation does not
/// need. Values of any float type are converted to `f32`.
///
/// # Errors
/// [`Error::Weights`] if the file cannot be read, [`Error::Mismatch`] if names or shapes differ; the network is then as
/// it was.
pub fn read_into(path: &Path, parameters: &Parameters, section: &str) -> Result<()> {
    load(path, parameters, read(path, section, |name| Some(name.to_owned()))?)
}

/// Fills a network with the tensors of the file at `path`, under the network's names.
pub(crate) fn load(
    path: &Path,
    parameters: &Parameters,
    tensors: Vec<(String, Tensor)>,
) -> Result<()> {
    parameters.load(tensors).map_err(|source| Error::Mismatch { path: path.into(), source })
}

/// The tensors of a file under other names; those that `rename` gives none are left out.
pub(crate) fn read(
    path: &Path,
    section: &str,
    rename: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, Tensor)>> {
    let file = weights::open(path)?;
    let file = if file.sections().contains(&section) { file.within(section)? } else { file };
    let mut tensors = Vec::new();
    for info in file.tensors().iter().filter(|info| !info.name.ends_with("num_batches_tracked")) {
        if let Some(name) = rename(&info.name) {
            let values = file.read(&info.name)?.to_f32();
            let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
            tensors.push((name, Tensor::from_slice(&values).view(&shape[..])));
        }
    }
    Ok(tensors)
}
