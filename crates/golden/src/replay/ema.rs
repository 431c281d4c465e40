//! `ema`: moving averages of weights, and averages made after the run.

use super::{Replayed, config};
use crate::Result;
use diffusion_core::Parameters;
use distill_trainer::{Ema, EmaConfig, PowerEma, PowerProfile, Progress, posthoc_coefficients};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use testkit::GoldenCase;

/// The exponents whose deviations the official code prints: for 0.1, 0.05 and 0.01.
const PRINTED_GAMMAS: [f64; 3] = [6.94, 16.97, 96.99];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    batch: usize,
    /// In images.
    halflife: f64,
    ramp: Option<f64>,
    steps: u64,
    stds: Vec<f64>,
    out_stds: Vec<f64>,
}

impl Config {
    fn half_life(&self) -> EmaConfig {
        EmaConfig::HalfLife { kimg: self.halflife / 1000.0, ramp_up: self.ramp }
    }

    /// The averages after each step. `late` counts a step's own images among those seen before it.
    fn averages(&self, weights: &Tensor, ema: EmaConfig, late: bool) -> Result<Vec<Tensor>> {
        let mut parameters = Parameters::new(Device::Cpu);
        let mut present = parameters.trainable("w", weights.get(0));
        let mut ema = Ema::new(ema, &parameters)?;
        let mut averages = Vec::new();
        for step in 0..self.steps {
            tch::no_grad(|| present.copy_(&weights.get(step as i64 + 1)));
            let images = (step + u64::from(late)) * self.batch as u64;
            ema.update(Progress { step, images }, self.batch)?;
            averages.push(ema.state().tensor("w")?.copy());
        }
        Ok(averages)
    }

    fn decays(&self, ema: EmaConfig) -> Tensor {
        let decay = |step| ema.decay(step * self.batch as u64, self.batch);
        Tensor::from_slice(&(0..self.steps).map(decay).collect::<Vec<f64>>())
    }
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let config: Config = config(case, &["snap"])?;
    let mut replayed = Replayed::default();
    half_life(case, &config, &mut replayed)?;
    power_function(case, &config, &mut replayed)?;
    Ok(replayed)
}

fn half_life(case: &GoldenCase, config: &Config, replayed: &mut Replayed) -> Result<()> {
    let (weights, ema) = (case.tensor("in.weights")?, config.half_life());
    for (name, late) in [("edm_ema", false), ("edm2_traditional", true)] {
        for (index, average) in config.averages(weights, ema, late)?.into_iter().enumerate() {
            replayed.insert(format!("out.{name}_{}", index + 1), average);
        }
    }
    replayed.insert("out.beta_edm", config.decays(ema));
    Ok(())
}

fn power_function(case: &GoldenCase, config: &Config, replayed: &mut Replayed) -> Result<()> {
    let of = |&std: &f64| EmaConfig::Power { std };
    let decays: Vec<Tensor> = config.stds.iter().map(|std| config.decays(of(std))).collect();
    replayed.insert("out.beta_power", Tensor::stack(&decays, 1));
    let gammas: Vec<f64> = config
        .stds
        .iter()
        .chain(&config.out_stds)
        .map(|&std| PowerEma::from_std(std).gamma)
        .collect();
    replayed.insert("out.gamma", Tensor::from_slice(&gammas));
    let stds = PRINTED_GAMMAS.map(|gamma| PowerEma { gamma }.std());
    replayed.insert("out.std_of_gamma", Tensor::from_slice(&stds));

    let images = Vec::<i64>::try_from(case.tensor("in.snap_ofs")?)?;
    let stds = Vec::<f64>::try_from(case.tensor("in.snap_std")?)?;
    let profile =
        |images: i64, std| PowerProfile { images: images as u64, ema: PowerEma::from_std(std) };
    let profiles: Vec<PowerProfile> =
        images.iter().zip(&stds).map(|(&images, &std)| profile(images, std)).collect();
    let mut snapshots = Vec::new();
    for (&images, std) in images.iter().zip(&stds) {
        let averages = config.averages(case.tensor("in.weights")?, of(std), false)?;
        snapshots.push(averages[images as usize / config.batch - 1].shallow_clone());
    }
    let snapshots = Tensor::stack(&snapshots, 0);
    let last = images.last().copied().unwrap_or_default();
    let targets: Vec<PowerProfile> = Vec::<f64>::try_from(case.tensor("in.out_std")?)?
        .into_iter()
        .map(|std| profile(last, std))
        .collect();
    let factors: Vec<Tensor> =
        posthoc_coefficients(&profiles, &targets)?.iter().map(|f| Tensor::from_slice(f)).collect();
    let factors = Tensor::stack(&factors, 0);
    let mixed =
        Tensor::einsum("oi,i...->o...", &[&factors, &snapshots.to_kind(Kind::Double)], None::<i64>);
    replayed.insert("out.snapshots", snapshots);
    replayed.insert("out.posthoc_coefficients", factors.tr());
    replayed.insert("out.posthoc", mixed);
    Ok(())
}
