//! `edm_sampler_*`: the sampler of EDM on data with a known denoiser.

use super::{Replayed, config};
use crate::{Error, Result};
use diffusion_core::{Cond, Denoiser};
use diffusion_schedule::{EdmSampler, KarrasGrid};
use serde::Deserialize;
use std::cell::RefCell;
use tch::Tensor;
use testkit::{ExactGaussian, GoldenCase};

/// The sampler's settings under their official names; those that are left out keep their defaults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    num_steps: Option<usize>,
    sigma_min: Option<f64>,
    sigma_max: Option<f64>,
    rho: Option<f64>,
    #[serde(rename = "S_churn")]
    s_churn: Option<f64>,
    #[serde(rename = "S_min")]
    s_min: Option<f64>,
    #[serde(rename = "S_max")]
    s_max: Option<Level>,
    #[serde(rename = "S_noise")]
    s_noise: Option<f64>,
}

impl Config {
    fn sampler(&self) -> Result<EdmSampler> {
        let (sampler, grid) = (EdmSampler::default(), KarrasGrid::default());
        Ok(EdmSampler {
            steps: self.num_steps.unwrap_or(sampler.steps),
            grid: KarrasGrid {
                sigma_min: self.sigma_min.unwrap_or(grid.sigma_min),
                sigma_max: self.sigma_max.unwrap_or(grid.sigma_max),
                rho: self.rho.unwrap_or(grid.rho),
            },
            s_churn: self.s_churn.unwrap_or(sampler.s_churn),
            s_min: self.s_min.unwrap_or(sampler.s_min),
            s_max: self.s_max.as_ref().map_or(Ok(sampler.s_max), Level::read)?,
            s_noise: self.s_noise.unwrap_or(sampler.s_noise),
        })
    }
}

/// A level that may be infinite, which JSON has no number for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Level {
    Finite(f64),
    Spelled(String),
}

impl Level {
    fn read(&self) -> Result<f64> {
        match self {
            Self::Finite(level) => Ok(*level),
            Self::Spelled(text) if text == "inf" => Ok(f64::INFINITY),
            Self::Spelled(text) => Err(Error::Unsupported {
                field: "S_max",
                value: text.clone(),
                supported: "numbers and `inf`",
            }),
        }
    }
}

/// Independent normal data; remembers the levels it was asked at.
struct Recorder {
    data: ExactGaussian,
    levels: RefCell<Vec<f64>>,
}

impl Denoiser for Recorder {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
        self.levels.borrow_mut().push(sigma.double_value(&[0]));
        self.data.denoise(x, sigma, cond)
    }
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let sampler = config::<Config>(case, &[])?.sampler()?;
    sampler.validate()?;
    let [mean, std] = [case.tensor("in.m")?.shallow_clone(), case.tensor("in.s")?.shallow_clone()];
    let denoiser = Recorder { data: ExactGaussian { mean, std }, levels: RefCell::default() };
    let recorded = if sampler.s_churn > 0.0 { Some(case.tensor("in.noise")?) } else { None };
    let mut draws = 0..;
    let mut unit_noise = |_: &[i64]| {
        let recorded = recorded.expect("only churn asks for noise");
        recorded.get(draws.next().expect("the range has no end"))
    };
    let x = sampler.sample_with(
        &denoiser,
        case.tensor("in.latents")?,
        &Cond::none(),
        &mut unit_noise,
        &mut |_| (),
    );
    Ok(Replayed::from([
        ("out.x", x),
        ("mid.network_sigmas", Tensor::from_slice(&denoiser.levels.borrow())),
    ]))
}
