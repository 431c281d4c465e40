//! `optim_*`: optimizers, gradient clipping and learning-rate decay, as the trainer applies them.
//!
//! The recorded gradient `g_k` of step `k` is that of the loss `Σ p · g_k`, so the whole run goes through the trainer.

use super::{Replayed, config};
use crate::Result;
use diffusion_core::{Batch, BatchSource, Cond, Generator, Noise, Parameters, State};
use distill_trainer::{
    Decay, DistillMethod, Flow, Objective, Observer, OptimizerConfig, Player, Precision, Progress,
    Role, RoleConfig, Tick, TrainConfig, Trainer, Turn,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};

const PLAYER: Role = Role("player");
const TURN: Turn = Turn::new("turn", &[PLAYER]);
/// Steps of a run whose configuration does not say how many.
const STEPS: u64 = 20;
/// Steps with ten times the gradient.
const SPIKES: [u64; 2] = [7, 14];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    cls: String,
    kw: Map<String, Value>,
    scale: f64,
    clip: Option<f64>,
    #[serde(default)]
    lr_decay: bool,
    steps: Option<u64>,
}

impl Config {
    /// PyTorch's arguments carry the trainer's names; what differs is the default decay of `AdamW`.
    fn optimizer(&self) -> Result<OptimizerConfig> {
        let mut settings = self.kw.clone();
        settings.insert("algorithm".into(), self.cls.to_lowercase().into());
        if self.cls == "AdamW" {
            settings.entry("weight_decay").or_insert(json!(0.01));
        }
        Ok(serde_json::from_value(settings.into())?)
    }

    fn training(&self) -> Result<TrainConfig> {
        let decay = if self.lr_decay { Decay::Linear } else { Decay::Constant };
        let optimizer = self.optimizer()?;
        let role = RoleConfig { optimizer, decay, clip_norm: self.clip, ..RoleConfig::default() };
        Ok(TrainConfig {
            batch: 1,
            kimg: self.steps.unwrap_or(STEPS) as f64 / 1000.0,
            tick_kimg: 0.001,
            precision: Precision::F32,
            roles: BTreeMap::from([(PLAYER.to_string(), role)]),
            ..TrainConfig::default()
        })
    }
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let config: Config = config(case, &[])?;
    let mut parameters = Parameters::new(Device::Cpu);
    let start = |i: usize| case.tensors.get(&format!("in.p{i}"));
    for (i, value) in (0..).map_while(start).enumerate() {
        let _ = parameters.trainable(&format!("p{i}"), value.copy());
    }
    let replayed = Rc::new(RefCell::new(Replayed::default()));
    let recorder = Recorder {
        parameters: parameters
            .trained()
            .map(|p| (p.name.clone(), p.tensor.shallow_clone()))
            .collect(),
        replayed: Rc::clone(&replayed),
    };
    let method = RecordedGradients { parameters, scale: config.scale };
    let mut trainer = Trainer::new(method, config.training()?, Device::Cpu)?.observe(recorder);
    trainer.run(&mut NoImages)?;
    drop(trainer);
    Ok(replayed.take())
}

/// A method whose gradients are given.
struct RecordedGradients {
    parameters: Parameters,
    scale: f64,
}

impl DistillMethod for RecordedGradients {
    fn players(&self) -> Vec<Player<'_>> {
        vec![Player { role: PLAYER, parameters: &self.parameters }]
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        vec![TURN]
    }

    fn objective(&self, _: &Turn, _: &Batch, progress: Progress, _: &mut Noise) -> Objective {
        let k = progress.step + 1;
        let scale = if SPIKES.contains(&k) { 10.0 * self.scale } else { self.scale };
        let products = self.parameters.trained().enumerate().map(|(i, p)| {
            let gradient = formula::noise(&format!("opt.g{k}.{i}"), &p.tensor.size()) * scale;
            (&p.tensor * gradient).sum(Kind::Float)
        });
        Objective::new(products.sum())
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Nothing)
    }
}

/// Takes down the parameters and the gradients' norm after every step.
struct Recorder {
    parameters: Vec<(String, Tensor)>,
    replayed: Rc<RefCell<Replayed>>,
}

impl Observer for Recorder {
    fn on_tick(&mut self, tick: &Tick, _student: &dyn Generator) -> distill_trainer::Result<Flow> {
        let k = tick.progress.step;
        let mut replayed = self.replayed.borrow_mut();
        for (name, tensor) in &self.parameters {
            replayed.insert(format!("out.{name}_step{k}"), tensor.detach().copy());
        }
        if let Some(&norm) = tick.grad_norm.get("player") {
            replayed.insert(format!("out.grad_norm_{k}"), Tensor::from(norm));
        }
        Ok(Flow::Continue)
    }
}

/// The run needs no images.
struct NoImages;

impl BatchSource for NoImages {
    fn next_batch(&mut self, size: usize) -> diffusion_core::Result<Batch> {
        let images = Tensor::zeros([size as i64, 1, 1, 1], (Kind::Float, Device::Cpu));
        Ok(Batch { images, cond: Cond::none() })
    }

    fn state(&self) -> State {
        State::default()
    }

    fn restore(&mut self, _state: &State) -> diffusion_core::Result<()> {
        Ok(())
    }
}

/// A generator that gives its latents back: the run is about no images.
struct Nothing;

impl Generator for Nothing {
    fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
        z.shallow_clone()
    }

    fn nfe(&self) -> usize {
        0
    }
}
