//! A network, pictures and settings so small that a step takes milliseconds.

use fewstep::datasets::{Loader, Shapes};
use fewstep::diffusion_schedule::Edm;
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::Precision;
use fewstep::libtorch_ext::process::set_threads;
use fewstep::prelude::*;
use fewstep::tch;
use fewstep::unet::Architecture;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) const SIZE: u32 = 8;
pub(crate) const CLASSES: i64 = 12;
/// Images of a step.
pub(crate) const BATCH: usize = 4;

/// A DDPM++ with one level, attention and dropout.
pub(crate) fn model() -> ModelConfig {
    ModelConfig {
        architecture: Architecture::SongUnet(SongUnetConfig {
            img_resolution: SIZE.into(),
            label_dim: CLASSES,
            model_channels: 8,
            channel_mult: vec![1],
            num_blocks: 1,
            attn_resolutions: vec![SIZE.into()],
            dropout: 0.1,
            ..SongUnetConfig::default()
        }),
        preconditioning: Preconditioning::Edm(Edm::default()),
        sampler: None,
    }
}

/// A network in which every layer has a say; fresh ones start with layers that are almost zero.
pub(crate) fn network(seed: u64) -> Network {
    set_threads(1);
    let mut noise = Noise::new(seed);
    let network = model().build(&mut noise, Device::Cpu).unwrap();
    let _guard = tch::no_grad_guard();
    for parameter in network.parameters().trained() {
        let nudge = noise.normal(&parameter.tensor.size()) * 0.05;
        let _ = parameter.tensor.shallow_clone().g_add_(&nudge);
    }
    network
}

/// The method with a teacher and players that start from other weights than the teacher's.
pub(crate) fn build(entry: &MethodInfo) -> Box<dyn Distiller> {
    let teacher = network(1);
    teacher.parameters().set_requires_grad(false);
    let teacher: Rc<dyn Denoiser> = Rc::new(teacher);
    let ingredients = Ingredients { teacher: Some(teacher), initial: &network(2) };
    (entry.build)(&ingredients, &(entry.options)()).unwrap()
}

/// Twenty flipped and shuffled pictures, so that a run passes over the end of an epoch.
pub(crate) fn pictures() -> Loader {
    Loader::new(Arc::new(Shapes::new(SIZE, 20, 0)), 5).unwrap().with_flip(true)
}

/// A run of so many steps that reports every step and saves every second one.
pub(crate) fn config(entry: &MethodInfo, n_steps: usize) -> TrainConfig {
    TrainConfig { roles: (entry.short_run)(), ..plain_config(n_steps) }
}

/// The same for a method whose roles take the default settings.
pub(crate) fn plain_config(n_steps: usize) -> TrainConfig {
    let kimg = |steps: usize| (steps * BATCH) as f64 / 1000.0;
    TrainConfig {
        batch: BATCH,
        kimg: kimg(n_steps),
        tick_kimg: kimg(1),
        checkpoint_kimg: kimg(2),
        precision: Precision::F32,
        ..TrainConfig::default()
    }
}

/// A trainer on the CPU that keeps all its checkpoints in `folder`.
pub(crate) fn trainer<M: DistillMethod>(
    method: M,
    config: TrainConfig,
    folder: &Path,
) -> Trainer<M> {
    let folder = CheckpointFolder::create(folder, usize::MAX).unwrap();
    Trainer::new(method, config, Device::Cpu).unwrap().checkpoints(folder)
}
