//! `cm_cd_*`, `cm_ct_*`, `cm_progdist_*`, `cm_denoising_*`: the losses of consistency models.

use super::{Replayed, config, stub_network};
use crate::{Error, Result};
use diffusion_core::{Cond, Denoiser, shape};
use diffusion_schedule::{Euler, Heun, KarrasGrid, SnrWeighting, UniformWeighting, Weighting};
use distill_losses::methods::ConsistencyWeighting;
use distill_losses::terms::{
    ConsistencyPair, Distance, adjacent_levels, consistency_loss, denoising_loss,
    progressive_target,
};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use testkit::GoldenCase;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "N")]
    scales: u64,
    mode: Mode,
    norm: Norm,
    weight: Weight,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Cd,
    Ct,
    Pd,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Norm {
    L1,
    L2,
}

impl Norm {
    fn distance(self) -> Distance {
        match self {
            Self::L1 => Distance::L1,
            Self::L2 => Distance::L2,
        }
    }
}

/// Official names of the weightings.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Weight {
    Uniform,
    Snr,
    #[serde(rename = "snr+1")]
    SnrPlusOne,
    Karras,
    TruncatedSnr,
}

impl Weighting for Weight {
    fn weight(&self, sigma: &Tensor) -> Tensor {
        match self {
            Self::Uniform => ConsistencyWeighting::Uniform.weight(sigma),
            Self::Snr => SnrWeighting { plus: 0.0 }.weight(sigma),
            Self::SnrPlusOne => ConsistencyWeighting::SnrPlusOne.weight(sigma),
            Self::Karras => ConsistencyWeighting::Karras.weight(sigma),
            Self::TruncatedSnr => ConsistencyWeighting::TruncatedSnr.weight(sigma),
        }
    }
}

/// Consistency distillation and training.
pub(super) fn replay_pair(case: &GoldenCase) -> Result<Replayed> {
    let Config { scales, mode, norm, weight } = config(case, &["B"])?;
    let (x0, n) = (case.tensor("in.x")?, case.tensor("in.noise")?);
    let [t, r] = adjacent_levels(&KarrasGrid::default(), &indices(case)?, scales, Device::Cpu);
    let pair = match mode {
        Mode::Cd => {
            let teacher = stub_network::frozen(stub_network::trained("teacher"));
            ConsistencyPair::by_teacher(&teacher, &Heun, x0, n, [&t, &r], &Cond::none())
        }
        Mode::Ct => ConsistencyPair::by_data(x0, n, [&t, &r]),
        Mode::Pd => return Err(wrong_mode(mode, "`cd` and `ct` in this family")),
    };
    let student = stub_network::trained_with_boundary("student");
    let target = stub_network::frozen(stub_network::trained_with_boundary("target"));
    let distances = consistency_loss(&student, &target, &pair, &Cond::none(), norm.distance());
    let per_sample = distances * weight.weight(&t);
    Ok(stub_network::loss_and_gradients(&per_sample, 1.0, &student))
}

/// Progressive distillation: one step of the student against two of the teacher.
pub(super) fn replay_progressive(case: &GoldenCase) -> Result<Replayed> {
    let Config { scales, mode, norm, weight } = config(case, &["B"])?;
    if mode != Mode::Pd {
        return Err(wrong_mode(mode, "`pd` in this family"));
    }
    let (indices, grid) = (indices(case)?, KarrasGrid::default());
    let [t, mid, end] = [0.0, 0.5, 1.0].map(|offset| {
        let level = |&i: &u64| grid.at((i as f64 + offset) / scales as f64) as f32;
        Tensor::from_slice(&indices.iter().map(level).collect::<Vec<_>>())
    });
    let (x0, n) = (case.tensor("in.x")?, case.tensor("in.noise")?);
    let x_t = x0 + shape::per_image(&t, x0) * n;
    let teacher = stub_network::frozen(stub_network::trained("teacher"));
    let target = progressive_target(&teacher, &Euler, &x_t, [&t, &mid, &end], &Cond::none());
    let student = stub_network::trained_with_boundary("student");
    let denoised = student.denoise(&x_t, &t, &Cond::none());
    let per_sample = norm.distance().per_image(&denoised, &target) * weight.weight(&t);
    Ok(stub_network::loss_and_gradients(&per_sample, 1.0, &student))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DenoisingConfig {
    weight: Weight,
}

/// Teacher training of the same code: means over an image where EDM has sums.
pub(super) fn replay_denoising(case: &GoldenCase) -> Result<Replayed> {
    let DenoisingConfig { weight } = config(case, &["B", "sigmas"])?;
    let (x0, n) = (case.tensor("in.x")?, case.tensor("in.noise")?);
    let sigma = case.tensor("in.sigma")?;
    let student = stub_network::trained("student");
    let mean = |weighting: &dyn Weighting| {
        let sums = denoising_loss(&student, x0, sigma, n, &Cond::none(), weighting);
        sums / (x0.numel() as f64 / x0.size()[0] as f64)
    };
    let xs_mse = tch::no_grad(|| mean(&UniformWeighting));
    let mut replayed = stub_network::loss_and_gradients(&mean(&weight), 1.0, &student);
    replayed.insert("out.xs_mse", xs_mse);
    Ok(replayed)
}

fn indices(case: &GoldenCase) -> Result<Vec<u64>> {
    let indices = Vec::<i64>::try_from(case.tensor("draw.indices")?.to_kind(Kind::Int64))?;
    Ok(indices.into_iter().map(|index| index as u64).collect())
}

fn wrong_mode(mode: Mode, supported: &'static str) -> Error {
    Error::Unsupported { field: "mode", value: format!("{mode:?}").to_lowercase(), supported }
}
