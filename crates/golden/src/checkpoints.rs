//! Files of weights: read as their twins, or refused.
//!
//! A file `X.pt` (or `.pth`, `.pkl`) has a twin `X.expected.safetensors`, or `X_pt.expected.safetensors`, with the
//! tensors it must yield, bit for bit, and in its metadata the values. Files that are damaged or hostile are listed with
//! the outcome they must have in the `EXPECT.json` of their folder.

use crate::{Comparison, Error, Result};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use weights::Checkpoint;

/// How the twins' names end.
const TWIN: &str = ".expected.safetensors";
/// The list of files and their outcomes.
const LIST: &str = "EXPECT.json";
/// The file that every payload of a hostile file would create.
const FOOTPRINT: &str = "pwned";

/// A file of weights and what must come of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    /// The tensors of this twin.
    Twin(PathBuf),
    /// The outcome that a list names: an error, or a file without tensors, or a file that loads.
    Outcome(String),
}

/// What must come of `path`, if it is a file of weights.
pub(crate) fn expected(path: &Path) -> Result<Option<Expected>> {
    let name = name(path);
    if let Some(outcomes) = path.parent().map(list).transpose()?.flatten() {
        let outcome = outcomes.get(&name).and_then(|row| row["expect"].as_str());
        return Ok(outcome.map(|outcome| match twin(path) {
            Some(twin) if outcome == "ok" => Expected::Twin(twin),
            _ => Expected::Outcome(outcome.into()),
        }));
    }
    Ok(twin(path).map(Expected::Twin))
}

/// The files of weights in a folder: those in its list, or else those with a twin.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if let Some(outcomes) = list(folder)? {
        return Ok(outcomes.keys().map(|name| folder.join(name)).collect());
    }
    let io = |reason| Error::Io { path: folder.into(), reason };
    let entries = fs::read_dir(folder).map_err(io)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(io));
    paths.filter(|path| path.as_ref().map_or(true, |path| twin(path).is_some())).collect()
}

/// Whether a folder's own `*.safetensors` files are cases: not if they are twins or in a list.
pub(crate) fn is_twin_or_listed(path: &Path) -> bool {
    name(path).ends_with(TWIN) || path.with_file_name(LIST).exists()
}

/// Reads a file and compares every tensor and value with its twin; the first that differs, or else the last.
pub(crate) fn compare(path: &Path, twin: &Path) -> Result<Comparison> {
    let twin = weights::open(twin)?;
    let file = weights::open(path)?;
    let is_edm = path.extension().is_some_and(|extension| extension == "pkl");
    let file = if is_edm { file.within("ema")? } else { file };
    let comparison = |tensor: &str, is_equal: bool| Comparison {
        tensor: tensor.into(),
        error: if is_equal { 0.0 } else { f64::INFINITY },
        tolerance: 0.0,
    };
    let mut last = None;
    for tensor in twin.tensors() {
        last = Some(comparison(&tensor.name, file.read(&tensor.name)? == twin.read(&tensor.name)?));
        if last.as_ref().is_some_and(|last| !last.is_ok()) {
            return last.ok_or(Error::NoResults);
        }
    }
    if let Some(extra) = file.tensors().iter().find(|tensor| twin.tensor(&tensor.name).is_err()) {
        return Ok(comparison(&extra.name, false));
    }
    if let Some(Value::Object(values)) = twin.metadata_json("case")?.get("scalars") {
        let found: Map<_, _> = file.values()?.into_iter().collect();
        let differs = |name: &&String| found.get(*name) != values.get(*name);
        if let Some(name) = values.keys().chain(found.keys()).find(differs) {
            return Ok(comparison(name, false));
        }
    }
    last.ok_or(Error::NoResults)
}

/// Reads everything in a file that should be refused, and returns the reason it gives.
pub(crate) fn refusal(path: &Path, outcome: &str) -> Result<String> {
    let result = exhaust(path);
    if Path::new(FOOTPRINT).exists() {
        return Err(Error::Executed { footprint: FOOTPRINT });
    }
    match (outcome, result) {
        ("ok", Ok(tensors)) => Ok(format!("{tensors} tensors")),
        ("ok", Err(error)) => Err(error.into()),
        (outcome, Ok(0)) if outcome.starts_with("error or") => Ok("no tensors".into()),
        (_, Ok(tensors)) => Err(Error::NotRefused { outcome: outcome.into(), tensors }),
        (_, Err(error)) if error.to_string().contains(&name(path)) => {
            Ok(error.problem().to_string())
        }
        (_, Err(error)) => Err(Error::Anonymous(error.to_string())),
    }
}

/// Reads all there is in a file and counts its tensors.
fn exhaust(path: &Path) -> weights::Result<usize> {
    let file: Checkpoint = weights::open(path)?;
    for tensor in file.tensors() {
        file.read(&tensor.name)?;
    }
    file.values()?;
    for key in file.metadata().keys() {
        file.metadata_json(key)?;
    }
    Ok(file.tensors().len())
}

fn twin(path: &Path) -> Option<PathBuf> {
    let (stem, extension) = (path.file_stem()?.to_str()?, path.extension()?.to_str()?);
    let names = [format!("{stem}{TWIN}"), format!("{stem}_{extension}{TWIN}")];
    names.map(|name| path.with_file_name(name)).into_iter().find(|twin| twin.exists())
}

fn list(folder: &Path) -> Result<Option<Map<String, Value>>> {
    let path = folder.join(LIST);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(|reason| Error::Io { path: path.clone(), reason })?;
    Ok(Some(serde_json::from_slice(&text)?))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into()
}
