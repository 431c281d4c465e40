//! Score identity distillation: a one-step generator without any data.

use super::{options, require};
use crate::terms::{denoising_loss, score_identity_loss, sequential_score_identity_loss};
use crate::{Distiller, Ingredients, MethodInfo, Result, WithDropout};
use diffusion_core::{Batch, Denoiser, Generator, Noise, shape};
use diffusion_schedule::{
    Density, EdmWeighting, KarrasUniform, LogNormal, Network, OneStep, SamplerConfig, Sampling,
};
use distill_trainer::{
    DistillMethod, EmaConfig, Objective, OptimizerConfig, Player, Progress, Role, RoleConfig, Turn,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Kind, Tensor};

const NAME: &str = "sid";
const GENERATOR: Role = Role("generator");
const FAKE_SCORE: Role = Role("fake-score");
const FAKE_TURN: Turn = Turn::new("fake-score", &[FAKE_SCORE]);
const GENERATOR_TURN: Turn = Turn::new("generator", &[GENERATOR]).fresh_batch();

/// The row of the method table.
pub(crate) const INFO: MethodInfo = MethodInfo {
    name: NAME,
    title: "Score identity distillation (SiD)",
    paper: "arXiv:2404.04057",
    players: &[GENERATOR, FAKE_SCORE],
    needs_teacher: true,
    file: "score_identity.rs",
    summary: "one step, data-free; the generator descends through teacher and fake score",
    published,
    short_run,
    short_options: |_, _| toml::Table::new(),
    options: || toml::Table::try_from(ScoreIdentityConfig::default()).unwrap_or_default(),
    build: |ingredients, table| {
        Ok(Box::new(ScoreIdentity::new(ingredients, options(NAME, table)?)?))
    },
};

/// Options of [`ScoreIdentity`]; the defaults are the published ones for CIFAR-10.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreIdentityConfig {
    /// Weight of the squared score difference; 1.2, or 1.0 for AFHQ.
    pub alpha: f64,
    /// The level at which the generator is evaluated, once.
    pub sigma_init: f64,
    /// The generator's levels end at the share `t_max / 1000` of the Karras grid, counted from its clean end.
    pub t_max: f64,
    /// Mean of `ln σ` for the fake score.
    pub p_mean: f64,
    /// Standard deviation of `ln σ` for the fake score.
    pub p_std: f64,
    /// Factor of the generator's loss; matters against Adam's epsilon.
    pub generator_scale: f64,
    /// Whether the generator's turn holds the graph of one denoiser at a time: less memory, one more evaluation of the
    /// fake score, the same gradient up to rounding.
    pub sequential: bool,
}

impl Default for ScoreIdentityConfig {
    fn default() -> Self {
        Self {
            alpha: 1.2,
            sigma_init: 2.5,
            t_max: 800.0,
            p_mean: -1.2,
            p_std: 1.2,
            generator_scale: 100.0,
            sequential: false,
        }
    }
}

/// Score identity distillation.
///
/// Each step first trains the fake score on the generator's images (generator in evaluation mode, nothing flows into
/// it), then moves the generator on new noise and labels (its dropout active, the fake score in evaluation mode and
/// frozen, gradients flowing through both denoisers). Of the batch only size and labels are used.
///
/// # Source
/// Zhou et al. 2024, arXiv:2404.04057, algorithm 1; official code `training/sid_training_loop.py`. Differs: images
/// with NaN are an error here and are not dropped; no augmentation of the fake score's input.
pub struct ScoreIdentity {
    config: ScoreIdentityConfig,
    teacher: Rc<dyn Denoiser>,
    generator: Network,
    fake_score: Network,
}

impl ScoreIdentity {
    /// Generator and fake score start as copies of the initial network.
    ///
    /// # Errors
    /// If there is no teacher or an option makes no sense.
    pub fn new(ingredients: &Ingredients<'_>, config: ScoreIdentityConfig) -> Result<Self> {
        let ScoreIdentityConfig { sigma_init, t_max, p_std, generator_scale, .. } = config;
        require(sigma_init > 0.0, NAME, "sigma_init", sigma_init, "must be positive")?;
        require(t_max > 0.0 && t_max <= 1000.0, NAME, "t_max", t_max, "must be in (0, 1000]")?;
        require(p_std > 0.0, NAME, "p_std", p_std, "must be positive")?;
        require(
            generator_scale > 0.0,
            NAME,
            "generator_scale",
            generator_scale,
            "must be positive",
        )?;
        let teacher = ingredients.teacher(NAME)?;
        let (generator, fake_score) = (ingredients.initial.twin(), ingredients.initial.twin());
        Ok(Self { config, teacher, generator, fake_score })
    }

    fn generate(&self, generator: &dyn Denoiser, batch: &Batch, noise: &mut Noise) -> Tensor {
        let z = noise.normal(&batch.images.size()) * self.config.sigma_init;
        generator.denoise(&z, &level(batch, self.config.sigma_init), &batch.cond)
    }

    fn fake_score_objective(&self, batch: &Batch, noise: &mut Noise) -> Objective {
        let y = tch::no_grad(|| self.generate(&self.generator, batch, noise));
        let density = LogNormal { mean: self.config.p_mean, std: self.config.p_std };
        let sigma = density.sample(batch.len(), noise);
        let n = noise.normal(&y.size());
        let fake_score = WithDropout::new(&self.fake_score, noise.fork("dropout"));
        let weighting = EdmWeighting::default();
        let loss = denoising_loss(&fake_score, &y, &sigma, &n, &batch.cond, &weighting);
        Objective::new(loss.mean(Kind::Float))
    }

    fn generator_objective(&self, batch: &Batch, noise: &mut Noise) -> Objective {
        let generator = WithDropout::new(&self.generator, noise.fork("dropout"));
        let y = self.generate(&generator, batch, noise);
        let density = KarrasUniform { t_max: self.config.t_max, ..KarrasUniform::default() };
        let sigma = density.sample(batch.len(), noise);
        let x = &y + shape::per_image(&sigma, &y) * noise.normal(&y.size());
        let real = |x: &Tensor| self.teacher.denoise(x, &sigma, &batch.cond);
        let fake = |x: &Tensor| self.fake_score.denoise(x, &sigma, &batch.cond);
        let alpha = self.config.alpha;
        let (loss, real, fake) = if self.config.sequential {
            let found = sequential_score_identity_loss(&real, &fake, &x, &y, alpha);
            (found.loss, found.real, found.fake)
        } else {
            let (real, fake) = (real(&x), fake(&x));
            (score_identity_loss(&real, &fake, &y, alpha), real, fake)
        };
        let gap = tch::no_grad(|| (real - fake).square().mean(Kind::Float).sqrt());
        let loss = loss.mean(Kind::Float) * self.config.generator_scale;
        Objective::new(loss).with_term("score_gap", &gap)
    }
}

impl DistillMethod for ScoreIdentity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn options(&self) -> toml::Table {
        toml::Table::try_from(&self.config).unwrap_or_default()
    }

    fn players(&self) -> Vec<Player<'_>> {
        vec![
            Player { role: GENERATOR, parameters: self.generator.parameters() },
            Player { role: FAKE_SCORE, parameters: self.fake_score.parameters() },
        ]
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        vec![FAKE_TURN, GENERATOR_TURN]
    }

    fn objective(
        &self,
        turn: &Turn,
        batch: &Batch,
        _progress: Progress,
        noise: &mut Noise,
    ) -> Objective {
        if *turn == FAKE_TURN {
            self.fake_score_objective(batch, noise)
        } else {
            self.generator_objective(batch, noise)
        }
    }

    fn recording_key(&self, _turn: &Turn, _progress: Progress) -> Option<u64> {
        (!self.config.sequential).then_some(0)
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Sampling::new(&self.generator, OneStep { sigma: self.config.sigma_init }))
    }
}

impl Distiller for ScoreIdentity {
    fn network(&self) -> &Network {
        &self.generator
    }

    fn sampler(&self) -> SamplerConfig {
        SamplerConfig::OneStep(OneStep { sigma: self.config.sigma_init })
    }
}

fn level(batch: &Batch, sigma: f64) -> Tensor {
    Tensor::full([batch.len()], sigma, (Kind::Float, batch.images.device()))
}

/// SiD's settings for CIFAR-10.
fn published() -> BTreeMap<String, RoleConfig> {
    let optimizer = OptimizerConfig { lr: 1e-5, betas: [0.0, 0.999], ..OptimizerConfig::default() };
    let ema = EmaConfig::HalfLife { kimg: 500.0, ramp_up: Some(0.05) };
    let fake = RoleConfig { optimizer, ..RoleConfig::default() };
    let generator = RoleConfig { ema: Some(ema), ..fake.clone() };
    BTreeMap::from([(GENERATOR.to_string(), generator), (FAKE_SCORE.to_string(), fake)])
}

/// Settings for runs of some 20 to 1,000 kimg. Simple pictures bear three times the learning rate; natural ones do not:
/// there the fake score falls behind in bursts, and the generator with it.
fn short_run() -> BTreeMap<String, RoleConfig> {
    let mut roles = published();
    for role in roles.values_mut() {
        role.optimizer.lr = 1e-4;
    }
    if let Some(generator) = roles.get_mut(GENERATOR.0) {
        generator.ema = Some(EmaConfig::HalfLife { kimg: 5.0, ramp_up: Some(0.1) });
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_schedule::{Preconditioned, Preconditioning};
    use libtorch_ext::Autocast;
    use testkit::{MlpBackbone, MlpConfig};

    fn network(seed: u64) -> Network {
        let config = MlpConfig { dropout: 0.1, ..MlpConfig::default() };
        let backbone = MlpBackbone::new(config, &mut Noise::new(seed));
        Preconditioned::new(Box::new(backbone), Preconditioning::default())
    }

    /// Loss, logged gap and the generator's gradients in its turn, from networks that have come apart.
    fn turn(sequential: bool, bf16: bool) -> (f64, f64, Vec<Tensor>) {
        let teacher = network(1);
        let ingredients = Ingredients::distill(&teacher);
        let config = ScoreIdentityConfig { sequential, ..ScoreIdentityConfig::default() };
        let mut method = ScoreIdentity::new(&ingredients, config).unwrap();
        method.generator = network(2);
        method.fake_score = network(3);
        method.fake_score.parameters().set_requires_grad(false);
        let images = Noise::new(4).normal(&[16, 2, 1, 1]);
        let batch = Batch { images, cond: diffusion_core::Cond::none() };
        let objective = {
            let _autocast = bf16.then(|| Autocast::bf16(tch::Device::Cpu));
            method.generator_objective(&batch, &mut Noise::new(5))
        };
        objective.loss.backward();
        let frozen = method.fake_score.parameters().iter().chain(teacher.parameters().iter());
        assert!(frozen.into_iter().all(|frozen| !frozen.tensor.grad().defined()));
        let gradients = method.generator.parameters().trained().map(|p| p.tensor.grad()).collect();
        let gap = objective.terms[0].1.double_value(&[]);
        (objective.loss.double_value(&[]), gap, gradients)
    }

    #[test]
    fn one_denoiser_after_the_other_gives_the_same_turn() {
        for (bf16, tolerance) in [(false, 1e-5), (true, 1e-2)] {
            let (expected_loss, expected_gap, expected) = turn(false, bf16);
            let (loss, gap, gradients) = turn(true, bf16);
            assert_eq!((loss, gap), (expected_loss, expected_gap));
            assert!(!expected.is_empty());
            for (gradient, expected) in gradients.iter().zip(&expected) {
                let scale = expected.abs().max().double_value(&[]);
                let error = (gradient - expected).abs().max().double_value(&[]);
                assert!(scale > 0.0 && error <= tolerance * scale, "{error:e} of {scale:e}");
            }
        }
    }
}
