//! `edm_precond_tables`: the noise levels of the VP and iDDPM preconditionings.

use super::{Replayed, config};
use crate::Result;
use diffusion_schedule::{IDdpm, Precondition, Vp};
use serde::Deserialize;
use tch::{Kind, Tensor};
use testkit::GoldenCase;

/// Official names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "M")]
    m: u32,
    #[serde(rename = "C_1")]
    c_1: f64,
    #[serde(rename = "C_2")]
    c_2: f64,
    beta_d: f64,
    beta_min: f64,
    epsilon_t: f64,
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let Config { m, c_1, c_2, beta_d, beta_min, epsilon_t } = config(case, &[])?;
    let iddpm = IDdpm::new(m as usize, c_1, c_2);
    let vp = Vp { beta_d, beta_min, m, epsilon_t };
    let (low, high) = vp.sigma_range();
    let nearest: Vec<i64> =
        values(case, "in.sigma")?.into_iter().map(|sigma| iddpm.round(sigma).0 as i64).collect();
    let sigmas: Vec<f64> = values(case, "in.vp_t")?.into_iter().map(|t| vp.sigma(t)).collect();
    let times: Vec<f64> = sigmas.iter().map(|&sigma| vp.sigma_inv(sigma)).collect();
    Ok(Replayed::from([
        ("out.iddpm_u_f64", Tensor::from_slice(&iddpm.u())),
        ("mid.iddpm_round_index_official_f32", Tensor::from_slice(&nearest)),
        ("out.vp_sigma", Tensor::from_slice(&sigmas)),
        ("out.vp_sigma_inv", Tensor::from_slice(&times)),
        ("out.vp_sigma_range_f64", Tensor::from_slice(&[low, high])),
    ]))
}

fn values(case: &GoldenCase, name: &str) -> Result<Vec<f64>> {
    Ok(Vec::try_from(case.tensor(name)?.to_kind(Kind::Double))?)
}
