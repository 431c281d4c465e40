//! What the driver asks of both sides: a request and an answer are a line of JSON each.

use fewstep::unet::SongUnetConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Request {
    /// The first one: sets the number of threads. The twin answers with [`Versions`].
    Hello { threads: usize },
    /// Builds everything that the job repeats. Answer: `{}`.
    Prepare { job: Job },
    /// Repeats the job. Answer: [`Times`].
    Run { iterations: u64 },
    /// Answer: [`Memory`].
    Peak,
    /// Computes outputs, losses and gradients, and compares them with those in the file `values`. Answer:
    /// [`Differences`]. For the twin alone.
    Check { network: SongUnetConfig, teacher: PathBuf, student: PathBuf, values: PathBuf },
    /// Measures matrix products and convolutions. Answer: [`crate::limits::Limits`]. For our side alone.
    Limits,
}

/// What is repeated and timed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) network: SongUnetConfig,
    pub(crate) weights: PathBuf,
    pub(crate) batch: i64,
    pub(crate) precision: Precision,
    /// Means something to the twin only.
    pub(crate) configuration: Configuration,
}

/// The kinds of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// One evaluation of the denoiser, without a graph.
    Forward,
    /// Images from noise in one step.
    Generate,
    /// A step of teacher training.
    Teacher,
    /// A step of consistency distillation.
    Cd,
    /// A step of score identity distillation: both turns.
    Sid,
    /// Clipping, Adam and the moving average alone.
    Optimizer,
}

/// The arithmetic of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    /// 32-bit floating point.
    F32,
    /// bfloat16, by autocast.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// How PyTorch is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) adam: Adam,
    pub(crate) channels_last: bool,
    pub(crate) compile: bool,
}

/// The variants of `torch.optim.Adam`; the average is a loop with the default and one call with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Adam {
    Default,
    Foreach,
    Fused,
}

/// The versions behind the twin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) python: String,
    pub(crate) torch: String,
}

/// The duration of each iteration.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) seconds: Vec<f64>,
}

/// Resident memory of the process, in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Before the job was prepared: what the libraries take.
    pub(crate) base: u64,
    /// The largest so far.
    pub(crate) peak: u64,
}

/// Largest relative difference, by what was compared.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Differences {
    pub(crate) differences: std::collections::BTreeMap<String, f64>,
}
