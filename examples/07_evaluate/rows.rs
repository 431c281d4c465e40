//! Measurements, kept in a file.

use super::judge::Value;
use anyhow::{Context, Result, bail};
use fewstep::metrics::MetricInfo;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What a measurement is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) subject: Dated,
    pub(crate) reference: Option<Dated>,
    /// The file of the network's weights, if it is not the published one in the cache.
    pub(crate) weights: Option<PathBuf>,
    pub(crate) images: usize,
    /// As JSON; empty for images in files.
    pub(crate) sampler: String,
    /// Network evaluations of the sampler.
    pub(crate) nfe: Option<usize>,
    pub(crate) seed: u64,
}

/// A file or folder, and when it was written last, in seconds since 1970: another one of the same name is measured anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dated {
    pub(crate) path: PathBuf,
    written: u64,
}

impl Dated {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let modified = fs::metadata(path).and_then(|data| data.modified());
        let modified = modified.with_context(|| format!("cannot read {}", path.display()))?;
        let written = modified.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Ok(Self { path: path.into(), written })
    }
}

/// A measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) row: Row,
    #[serde(flatten)]
    pub(crate) info: MetricInfo,
    pub(crate) value: f64,
    /// Where the value is a mean over pairs.
    pub(crate) standard_error: Option<f64>,
    /// How long the generator took.
    pub(crate) ms_per_image: Option<f64>,
}

/// The measurements in a file.
pub(crate) struct Rows {
    path: PathBuf,
    known: Vec<Measured>,
}

impl Rows {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = if path.exists() { fs::read_to_string(path) } else { Ok(String::new()) };
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let mut known = Vec::new();
        for (number, line) in text.lines().enumerate() {
            known.push(serde_json::from_str(line).with_context(|| {
                format!(
                    "{}, line {}, is no measurement of this program, or one that was cut off; remove the line or give \
                     another file with `--out`",
                    path.display(),
                    number + 1
                )
            })?);
        }
        if !text.is_empty() && !text.ends_with('\n') {
            let (path, line) = (path.display(), known.len());
            bail!(
                "{path}, line {line}, has no end; end it, or remove it, or give another file with `--out`"
            );
        }
        Ok(Self { path: path.into(), known })
    }

    /// The measurement of `row` that `info` describes, if it was made.
    pub(crate) fn find(&self, row: &Row, info: &MetricInfo) -> Option<&Measured> {
        self.known.iter().find(|known| known.row == *row && known.info == *info)
    }

    /// Adds measurements of one pass, each in one piece, so that an interruption leaves whole lines.
    pub(crate) fn add(
        &mut self,
        row: &Row,
        values: Vec<Value>,
        ms_per_image: Option<f64>,
    ) -> Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let mut file = file.with_context(cannot)?;
        for Value { measurement, standard_error } in values {
            let (row, info, value) = (row.clone(), measurement.info, measurement.value);
            let measured = Measured { row, info, value, standard_error, ms_per_image };
            let line = serde_json::to_string(&measured)? + "\n";
            file.write_all(line.as_bytes()).with_context(cannot)?;
            self.known.push(measured);
        }
        file.sync_data().with_context(cannot)
    }
}
