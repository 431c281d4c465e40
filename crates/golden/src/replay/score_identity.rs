//! `sid_fake_score` and `sid_generator_*`: both turns of score identity distillation.

use super::stub_network::{self, Stub};
use super::{Replayed, config};
use crate::Result;
use diffusion_core::{Cond, Denoiser, shape};
use diffusion_schedule::{Density, EdmWeighting, KarrasUniform, LogNormal};
use distill_losses::methods::ScoreIdentityConfig;
use distill_losses::terms::{denoising_loss, score_identity_loss};
use serde::Deserialize;
use tch::{Kind, Tensor};
use testkit::GoldenCase;

/// Official names; settings that are left out keep the method's defaults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    alpha: Option<f64>,
    lsg: Option<f64>,
    tmax: Option<f64>,
    sigma_init: Option<f64>,
}

impl Config {
    fn read(case: &GoldenCase) -> Result<ScoreIdentityConfig> {
        let Self { alpha, lsg, tmax, sigma_init } = config(case, &["B"])?;
        let published = ScoreIdentityConfig::default();
        Ok(ScoreIdentityConfig {
            alpha: alpha.unwrap_or(published.alpha),
            generator_scale: lsg.unwrap_or(published.generator_scale),
            t_max: tmax.unwrap_or(published.t_max),
            sigma_init: sigma_init.unwrap_or(published.sigma_init),
            ..published
        })
    }
}

pub(super) fn replay_fake_score(case: &GoldenCase) -> Result<Replayed> {
    let config = Config::read(case)?;
    let fake = stub_network::trained("fake");
    let y = generate(&stub_network::trained("generator"), case, config.sigma_init)?.detach();
    let density = LogNormal { mean: config.p_mean, std: config.p_std };
    let sigma = density.sigma(&case.tensor("draw.rnd")?.flatten(0, -1));
    let (n, weighting) = (case.tensor("draw.noise")?, EdmWeighting::default());
    let per_sample = denoising_loss(&fake, &y, &sigma, n, &Cond::none(), &weighting);
    Ok(stub_network::loss_and_gradients(&per_sample, 1.0, &fake))
}

pub(super) fn replay_generator(case: &GoldenCase) -> Result<Replayed> {
    let config = Config::read(case)?;
    let generator = stub_network::trained("generator");
    let [teacher, fake] =
        ["teacher", "fake"].map(|role| stub_network::frozen(stub_network::trained(role)));
    let y = generate(&generator, case, config.sigma_init)?;
    let density = KarrasUniform { t_max: config.t_max, ..KarrasUniform::default() };
    let sigma = density.sigma(&case.tensor("draw.u")?.flatten(0, -1));
    let x_t = &y + shape::per_image(&sigma, &y) * case.tensor("draw.noise")?;
    let real = teacher.denoise(&x_t, &sigma, &Cond::none());
    let fake = fake.denoise(&x_t, &sigma, &Cond::none());
    let per_sample = score_identity_loss(&real, &fake, &y, config.alpha);
    let loss = per_sample.mean(Kind::Float) * config.generator_scale;
    let grad_y = Tensor::run_backward(&[&loss], &[&y], true, false).remove(0);
    let mut replayed =
        stub_network::loss_and_gradients(&per_sample, config.generator_scale, &generator);
    replayed.insert("out.grad_y", grad_y);
    Ok(replayed)
}

/// The generator's images, with their graph.
fn generate(generator: &Stub, case: &GoldenCase, sigma_init: f64) -> Result<Tensor> {
    let z = case.tensor("in.z")? * sigma_init;
    let sigma = Tensor::full([z.size()[0]], sigma_init, (Kind::Float, z.device()));
    Ok(generator.denoise(&z, &sigma, &Cond::none()))
}
