//! Distilling the exact teacher of N(μ, s²) recovers mean and spread.
//!
//! The data is two-dimensional and normal, the teacher is its closed-form denoiser, the players are small perceptrons:
//! every error is the method's or the trainer's.

use diffusion_core::{Cond, Denoiser, Generator, Noise};
use diffusion_schedule::{Edm, Network, Preconditioned, Preconditioning};
use distill_losses::{Ingredients, method};
use distill_trainer::{
    Algorithm, Decay, DistillMethod, EmaConfig, OptimizerConfig, Precision, RoleConfig,
    TrainConfig, Trainer,
};
use std::rc::Rc;
use tch::{Device, Kind, Tensor};
use testkit::{GaussianData, MlpBackbone, MlpConfig};

const MEAN: [f32; 2] = [0.8, -0.5];
const STD: f64 = 0.4;

fn train(name: &str, options: &str, initial: &Network, role: RoleConfig, kimg: f64) -> Network {
    let mut data = GaussianData::new(&MEAN, STD, 3);
    let teacher: Rc<dyn Denoiser> = Rc::new(data.denoiser());
    let ingredients = Ingredients { teacher: Some(teacher), initial };
    let entry = method(name).unwrap();
    let built = (entry.build)(&ingredients, &options.parse().unwrap()).unwrap();
    let roles = entry.players.iter().map(|player| (player.to_string(), role.clone())).collect();
    let config = TrainConfig {
        batch: 256,
        kimg,
        tick_kimg: 1e6,
        seed: 1,
        precision: Precision::F32,
        roles,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(built, config, Device::Cpu).unwrap();
    trainer.run(&mut data).unwrap();
    let _averages = trainer.averaged();
    assert_close(name, moments(&*trainer.method().student()));
    trainer.method().network().twin()
}

fn fresh() -> Network {
    let backbone = MlpBackbone::new(MlpConfig::default(), &mut Noise::new(2));
    Preconditioned::new(Box::new(backbone), Preconditioning::Edm(Edm::default()))
}

/// A perceptron trained on the data, where the players of a distillation start.
fn teacher() -> Network {
    // 18 Heun steps, the sampler's default, end at a spread of 0.424 even with the exact denoiser.
    let role = role(Algorithm::Adam, 3e-3, 0.9);
    train("teacher", "sampler_steps = 64", &fresh(), role, 400.0)
}

fn role(algorithm: Algorithm, lr: f64, beta1: f64) -> RoleConfig {
    let optimizer =
        OptimizerConfig { algorithm, lr, betas: [beta1, 0.999], ..OptimizerConfig::default() };
    RoleConfig {
        optimizer,
        decay: Decay::Linear,
        ema: Some(EmaConfig::HalfLife { kimg: 25.0, ramp_up: Some(0.05) }),
        ..RoleConfig::default()
    }
}

/// Mean and standard deviation of both channels.
fn moments(student: &dyn Generator) -> [[f64; 2]; 2] {
    let mut noise = Noise::new(99);
    let z = noise.normal(&[20_000, 2, 1, 1]);
    let x = student.generate(&z, &Cond::none(), &mut noise).view([-1, 2]).to_kind(Kind::Double);
    let pair = |t: Tensor| [t.double_value(&[0]), t.double_value(&[1])];
    [pair(x.mean_dim(0, false, None)), pair(x.std_dim(0, true, false))]
}

/// Within 5 % of the data's mean and spread.
fn assert_close(name: &str, [mean, std]: [[f64; 2]; 2]) {
    for i in 0..2 {
        let expected = f64::from(MEAN[i]);
        assert!((mean[i] / expected - 1.0).abs() < 0.05, "{name}: mean {mean:?}, not {MEAN:?}");
        assert!((std[i] / STD - 1.0).abs() < 0.05, "{name}: spread {std:?}, not {STD}");
    }
}

#[test]
fn teacher_training_learns_the_data() {
    teacher();
}

#[test]
fn sid_recovers_the_teacher() {
    let initial = teacher();
    train("sid", "", &initial, role(Algorithm::Adam, 1e-3, 0.0), 400.0);
}

#[test]
fn consistency_distillation_recovers_the_teacher() {
    let initial = teacher();
    // With 18 levels the Heun steps themselves end at a spread of 0.424, with 40 at 0.404.
    let options = "curriculum.scales.scales = 40";
    train("cd", options, &initial, role(Algorithm::RAdam, 1e-3, 0.9), 1500.0);
}
