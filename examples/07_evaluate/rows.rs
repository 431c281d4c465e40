//! Measurements, kept in a file.

use anyhow::{Context, Result};
use fewstep::backbones::PublishedFeatures;
use fewstep::metrics::{FeatureFrechet, Metric};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What one measurement is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    subject: PathBuf,
    /// When the subject was written last, in seconds since 1970: another model of the same name is measured anew.
    written: u64,
    reference: PathBuf,
    images: usize,
    /// Empty for images in files.
    sampler: String,
    seed: u64,
}

impl Row {
    pub(crate) fn new(
        subject: &Path,
        reference: &Path,
        images: usize,
        sampler: &str,
        seed: u64,
    ) -> Result<Self> {
        let modified = fs::metadata(subject).and_then(|data| data.modified());
        let modified = modified.with_context(|| format!("cannot read {}", subject.display()))?;
        let written = modified.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let (subject, reference) = (subject.into(), reference.into());
        Ok(Self { subject, written, reference, images, sampler: sampler.into(), seed })
    }
}

/// A measurement.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    #[serde(flatten)]
    row: Row,
    name: String,
    value: f64,
    /// Everything else that decided the value.
    recipe: String,
}

/// The measurements in a file, and those of this run.
pub(crate) struct Rows {
    path: PathBuf,
    known: Vec<Measured>,
    /// Positions of this run's, in order.
    shown: Vec<usize>,
}

impl Rows {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = if path.exists() { fs::read_to_string(path) } else { Ok(String::new()) };
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let row = |(number, line)| {
            serde_json::from_str(line).with_context(|| {
                format!("{}, line {}, is no measurement", path.display(), number + 1)
            })
        };
        let known = text.lines().enumerate().map(row).collect::<Result<_>>()?;
        Ok(Self { path: path.into(), known, shown: Vec::new() })
    }

    /// Measures `row` with the images that `feed` gives to the metric, unless it is known.
    pub(crate) fn measure(
        &mut self,
        row: Row,
        metric: &mut FeatureFrechet<PublishedFeatures>,
        feed: impl FnOnce(&mut FeatureFrechet<PublishedFeatures>) -> Result<()>,
    ) -> Result<()> {
        let info = metric.info();
        let is_known = |known: &Measured| known.row == row && known.recipe == info.recipe;
        if let Some(position) = self.known.iter().position(is_known) {
            self.shown.push(position);
            return Ok(());
        }
        metric.reset();
        feed(metric)?;
        let measured =
            Measured { row, name: info.name, value: metric.value()?, recipe: info.recipe };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(&measured)?)?;
        self.shown.push(self.known.len());
        self.known.push(measured);
        Ok(())
    }

    /// A line for each sampler: least, mean and spread (largest minus least) over the seeds.
    pub(crate) fn table(&self) -> String {
        let shown: Vec<&Measured> =
            self.shown.iter().map(|&position| &self.known[position]).collect();
        let mut text = String::new();
        let Some(first) = shown.first() else { return text };
        let _ = writeln!(text, "{} ({})", first.name, first.recipe);
        let _ = writeln!(
            text,
            "{:44} {:>7} {:>5} {:>9} {:>9} {:>9}",
            "sampler", "images", "seeds", "min", "mean", "spread"
        );
        let mut samplers: Vec<&str> = shown.iter().map(|row| row.row.sampler.as_str()).collect();
        samplers.dedup();
        for sampler in samplers {
            let rows = shown.iter().filter(|measured| measured.row.sampler == sampler);
            let values: Vec<f64> = rows.map(|measured| measured.value).collect();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let name = if sampler.is_empty() { "images in files" } else { sampler };
            let (images, seeds) = (first.row.images, values.len());
            let _ = writeln!(
                text,
                "{name:44} {images:>7} {seeds:>5} {least:>9.3} {mean:>9.3} {:>9.3}",
                most - least
            );
        }
        text
    }
}
