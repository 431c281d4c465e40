//! Events as a trainer sends them, for the tests of the observers.

use super::{Memory, RunInfo, Tick};
use crate::Progress;
use diffusion_core::{Cond, Generator, Noise};
use std::collections::BTreeMap;
use tch::Tensor;

const TOTAL_IMAGES: u64 = 200_000;
const BATCH: u64 = 64;

/// A student whose images are all zero, plus the label's index if there are labels.
pub(super) struct Gray;

impl Generator for Gray {
    fn generate(&self, z: &Tensor, cond: &Cond, _noise: &mut Noise) -> Tensor {
        let gray = z.zeros_like();
        match &cond.labels {
            Some(labels) => gray + labels.argmax(1, false).view([-1, 1, 1, 1]),
            None => gray,
        }
    }

    fn nfe(&self) -> usize {
        1
    }
}

pub(super) fn progress(images: u64) -> Progress {
    Progress { step: images / BATCH, images }
}

pub(super) fn run(images: u64) -> RunInfo {
    RunInfo {
        label: "toy".into(),
        method: "toy-method".into(),
        options: serde_json::json!({ "alpha": 1.0 }),
        device: "cpu".into(),
        progress: progress(images),
        total_images: TOTAL_IMAGES,
        batch: BATCH as usize,
        config: serde_json::json!({ "seed": 1 }),
    }
}

pub(super) fn tick(images: u64, terms: &[(&str, f64)]) -> Tick {
    Tick {
        progress: progress(images),
        total_images: TOTAL_IMAGES,
        elapsed_s: images as f64 / 500.0,
        s_per_kimg: 2.0,
        images_per_s: 500.0,
        terms: terms.iter().map(|&(term, value)| (term.into(), value)).collect(),
        metrics: BTreeMap::new(),
        grad_norm: [("student".into(), 0.25)].into(),
        learning_rate: [("student".into(), 1e-3)].into(),
        memory: Memory { rss: Some(3 << 30), rss_peak: Some(4 << 30), ..Memory::default() },
        non_finite: 0,
        last: images == TOTAL_IMAGES,
    }
}
