//! `cm_schedules`: how many levels, and how slow a target, at each step.

use super::{Replayed, config};
use crate::{Error, Result};
use distill_losses::terms::{Curriculum, Scales, TargetEma};
use serde::Deserialize;
use tch::Tensor;
use testkit::GoldenCase;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rows: Vec<Row>,
}

/// Mode of the target's decay, mode of the scales, first decay, first and last number of scales, steps of the run,
/// steps of a stage of progressive distillation.
#[derive(Deserialize)]
struct Row(String, String, f64, u64, u64, u64, u64);

impl Row {
    fn curriculum(&self) -> Result<Curriculum> {
        let &Self(ref ema, ref scales, decay, start, end, total_steps, steps_per_stage) = self;
        let unsupported = |field, value: &str, supported| {
            Err(Error::Unsupported { field, value: value.into(), supported })
        };
        let scales = match scales.as_str() {
            "fixed" => Scales::Fixed { scales: start },
            "progressive" => Scales::Progressive { start, end, total_steps },
            "progdist" => Scales::Halving { start, steps_per_stage },
            other => return unsupported("scale mode", other, "fixed, progressive and progdist"),
        };
        let target = match ema.as_str() {
            // The target of progressive distillation stays as it is within a stage: the official code ignores `decay`.
            "fixed" if matches!(scales, Scales::Halving { .. }) => TargetEma::Fixed { decay: 1.0 },
            "fixed" => TargetEma::Fixed { decay },
            "adaptive" => TargetEma::Adaptive { decay },
            other => return unsupported("ema mode", other, "fixed and adaptive"),
        };
        Ok(Curriculum { scales, target })
    }
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let Config { rows } = config(case, &["steps"])?;
    let mut replayed = Replayed::default();
    for (k, row) in rows.iter().enumerate() {
        let curriculum = row.curriculum()?;
        let steps = Vec::<i64>::try_from(case.tensor(&format!("in.steps_{k}"))?)?;
        let at = steps.iter().map(|&step| step as u64);
        let decays: Vec<f64> = at.clone().map(|step| curriculum.target_decay(step)).collect();
        let scales: Vec<i64> = at.map(|step| curriculum.scales(step) as i64).collect();
        replayed.insert(format!("out.ema_{k}"), Tensor::from_slice(&decays));
        replayed.insert(format!("out.scales_{k}"), Tensor::from_slice(&scales));
    }
    Ok(replayed)
}
