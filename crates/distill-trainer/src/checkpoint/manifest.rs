//! What a checkpoint says about its run.

use super::{FORMAT, MANIFEST};
use crate::drift::differences;
use crate::{Error, Progress, Result, TrainConfig};
use diffusion_core::NoiseState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Everything of a checkpoint but its tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// How far the run had come.
    pub progress: Progress,
    /// The noise generator.
    pub noise: NoiseState,
    /// The run's configuration.
    pub config: TrainConfig,
    /// The method's name.
    pub method: String,
    /// The method's options.
    pub options: serde_json::Value,
    /// The logged scalars and metrics of the tick at this step, by name; empty if there was none.
    pub metrics: BTreeMap<String, f64>,
    /// Plain values by part and name.
    pub values: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// CRC-32 of the tensor file.
    pub crc32: u32,
}

/// The one field that every version of the layout has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Manifest {
    /// Reads the manifest of the checkpoint in `folder`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is none that can be read, [`Error::ForeignCheckpoint`] for another version of the
    /// layout.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let bad = |reason: String| Error::Checkpoint { path: path.clone(), reason };
        let json = std::fs::read(&path).map_err(|error| bad(error.to_string()))?;
        let not_json = |error: serde_json::Error| bad(error.to_string());
        let Version { format } = serde_json::from_slice(&json).map_err(not_json)?;
        if format != FORMAT {
            return Err(Error::ForeignCheckpoint { path, format, readable: FORMAT });
        }
        serde_json::from_slice(&json).map_err(not_json)
    }

    /// Why a run as `self` describes it cannot go on from `saved`; empty if it can.
    pub(crate) fn drift(&self, saved: &Self) -> Vec<String> {
        if self.method != saved.method {
            return vec![format!("method was `{}`, now `{}`", saved.method, self.method)];
        }
        let mut drift = self.config.drift(&saved.config);
        drift.extend(differences("options", &saved.options, &self.options));
        drift
    }
}
