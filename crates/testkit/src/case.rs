//! Files of reference values.

use diffusion_core::tensor_file;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// What can be wrong with a reference file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// A file that cannot be read.
    #[error(transparent)]
    Unreadable(#[from] diffusion_core::Error),
    /// A safetensors file without the description of a case.
    #[error("{path} has no metadata entry `case`; it is no file of reference values")]
    NoDescription {
        /// The file.
        path: PathBuf,
    },
    /// A description that is not JSON.
    #[error("the metadata entry `case` of {path} is not JSON: {source}")]
    BadDescription {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A description without a tolerance.
    #[error("case `{stem}` states no number `rtol_of_max_abs`, so its results cannot be judged")]
    NoTolerance {
        /// The case.
        stem: String,
    },
    /// A tensor that is not in the file.
    #[error("case `{stem}` has no tensor `{name}`; it holds {found:?}")]
    NoTensor {
        /// The case.
        stem: String,
        /// The name that was asked for.
        name: String,
        /// The names in the file.
        found: Vec<String>,
    },
}

/// One file of reference values: inputs `in.*`, draws `draw.*`, intermediate values `mid.*`, results `out.*`.
///
/// # Example
/// ```no_run
/// let case = testkit::GoldenCase::open("tests/golden/karras_grids.safetensors")?;
/// for name in case.outputs() {
///     println!("{name} {:?}, tolerance {}", case.tensor(name)?.size(), case.tolerance()?);
/// }
/// # Ok::<(), testkit::CaseError>(())
/// ```
#[derive(Debug)]
pub struct GoldenCase {
    /// The file's name without its extension.
    pub stem: String,
    /// Every tensor by name, on the CPU, in the kind it was stored in.
    pub tensors: BTreeMap<String, Tensor>,
    description: Value,
}

impl GoldenCase {
    /// Reads a file.
    ///
    /// # Errors
    /// [`CaseError::Unreadable`], [`CaseError::NoDescription`] or [`CaseError::BadDescription`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaseError> {
        let path = path.as_ref();
        let file = tensor_file::read(path)?;
        let text = file
            .metadata
            .get("case")
            .ok_or_else(|| CaseError::NoDescription { path: path.into() })?;
        let description = serde_json::from_str(text)
            .map_err(|source| CaseError::BadDescription { path: path.into(), source })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { stem, tensors: file.tensors.into_iter().collect(), description })
    }

    /// Everything the file says about the case.
    pub fn description(&self) -> &Value {
        &self.description
    }

    /// The configuration: `config`, or `config_json` where a case states that instead; `null` if it states neither.
    pub fn config(&self) -> &Value {
        let keys = ["config", "config_json"];
        keys.iter().find_map(|key| self.description.get(key)).unwrap_or(&Value::Null)
    }

    /// The largest [`max_relative_error`](crate::max_relative_error) that counts as equal.
    ///
    /// # Errors
    /// [`CaseError::NoTolerance`].
    pub fn tolerance(&self) -> Result<f64, CaseError> {
        self.description["rtol_of_max_abs"]
            .as_f64()
            .ok_or_else(|| CaseError::NoTolerance { stem: self.stem.clone() })
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`CaseError::NoTensor`], which lists the names there are.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, CaseError> {
        self.tensors.get(name).ok_or_else(|| CaseError::NoTensor {
            stem: self.stem.clone(),
            name: name.into(),
            found: self.tensors.keys().cloned().collect(),
        })
    }

    /// The names of the results, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str).filter(|name| name.starts_with("out."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(metadata: &[(&str, &str)]) -> Result<GoldenCase, CaseError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some_case.safetensors");
        let x = Tensor::from_slice(&[1.0]);
        let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        tensor_file::write(&path, [("in.x", &x), ("out.y", &x)], &metadata).unwrap();
        GoldenCase::open(&path)
    }

    #[test]
    fn a_case_says_what_it_holds() {
        let case = open(&[("case", r#"{"config": {"n": 3}, "rtol_of_max_abs": 1e-9}"#)]).unwrap();
        assert_eq!(case.stem, "some_case");
        assert_eq!(case.config()["n"], 3);
        assert_eq!(case.tolerance().unwrap(), 1e-9);
        assert_eq!(case.outputs().collect::<Vec<_>>(), ["out.y"]);
        assert_eq!(case.tensor("in.x").unwrap().double_value(&[0]), 1.0);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(matches!(open(&[]), Err(CaseError::NoDescription { .. })));
        assert!(matches!(open(&[("case", "{")]), Err(CaseError::BadDescription { .. })));
        assert!(matches!(GoldenCase::open("nowhere.safetensors"), Err(CaseError::Unreadable(_))));
        let case = open(&[("case", r#"{"rtol_of_max_abs": "small"}"#)]).unwrap();
        assert!(matches!(case.tolerance(), Err(CaseError::NoTolerance { .. })));
        assert!(case.config().is_null());
        let message = case.tensor("in.z").unwrap_err().to_string();
        assert!(message.contains("`in.z`") && message.contains("out.y"), "{message}");
    }
}
