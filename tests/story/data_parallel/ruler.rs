//! A method without randomness, whose loss is a mean over images.

use crate::tiny::{BATCH, SIZE, plain_config};
use crate::watch::Recorder;
use fewstep::diffusion_core::{self, State};
use fewstep::distill_trainer::{EmaConfig, Objective, Player, Progress, Role, RoleConfig, Turn};
use fewstep::prelude::*;
use fewstep::tch;
use std::collections::BTreeMap;

const RULER: Role = Role("ruler");
const TURNS: [Turn; 2] =
    [Turn::new("measure", &[RULER]), Turn::new("again", &[RULER]).fresh_batch()];

/// Learns the mean picture. A target, which is the method's own state, follows it.
pub(super) struct Ruler {
    pub(super) parameters: Parameters,
    pub(super) target: Tensor,
}

impl Ruler {
    /// Starts at pictures of this value; two processes that start at different ones must end as equals.
    pub(super) fn new(start: usize) -> Self {
        Self::with_size(start, SIZE.into())
    }

    pub(super) fn with_size(start: usize, size: i64) -> Self {
        let like = || Tensor::full([3, size, size], start as f64, (Kind::Float, Device::Cpu));
        let mut parameters = Parameters::new(Device::Cpu);
        let _ = parameters.trainable("w", like());
        let _ = parameters.trainable("scale", Tensor::from(1f32 + start as f32));
        Self { parameters, target: like() }
    }

    fn get(&self, name: &str) -> Tensor {
        self.parameters.get(name).unwrap().shallow_clone()
    }
}

/// Six steps of two images each process, with an average and a limit on the gradient.
pub(super) fn measuring() -> TrainConfig {
    assert_eq!(BATCH % 2, 0);
    let role = RoleConfig {
        ema: Some(EmaConfig::HalfLife { kimg: 0.01, ramp_up: None }),
        clip_norm: Some(0.05),
        ..RoleConfig::default()
    };
    TrainConfig { roles: BTreeMap::from([(RULER.0.into(), role)]), ..plain_config(6) }
}

/// All reported losses and gradient norms, report by report.
pub(super) fn reported(recorder: &Recorder) -> Vec<f64> {
    let names = ["measure/loss", "grad_norm/ruler", "again/loss", "again/darkest"];
    names.iter().flat_map(|name| recorder.term(name)).collect()
}

impl DistillMethod for Ruler {
    fn players(&self) -> Vec<Player<'_>> {
        vec![Player { role: RULER, parameters: &self.parameters }]
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        TURNS.into()
    }

    /// The second turn leaves `scale` without a gradient.
    fn objective(&self, turn: &Turn, batch: &Batch, _: Progress, _: &mut Noise) -> Objective {
        let images = if turn.fresh_batch {
            batch.images.shallow_clone()
        } else {
            &batch.images * self.get("scale")
        };
        let distance =
            (images - self.get("w")).square() + (self.get("w") - &self.target).square() * 0.5;
        let loss = distance.mean(Kind::Float);
        Objective::new(loss).with_term("darkest", &batch.images.mean(Kind::Float))
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Mean(self.get("w")))
    }

    fn after_turn(&mut self, _turn: &Turn, _progress: Progress) {
        tch::no_grad(|| self.target = &self.target * 0.9 + self.get("w") * 0.1);
    }

    fn state(&self) -> State {
        State { tensors: [("target".to_owned(), self.target.copy())].into(), ..State::default() }
    }

    fn load_state(&mut self, state: &State) -> diffusion_core::Result<()> {
        state.copy_into("target", &self.target)
    }
}

struct Mean(Tensor);

impl Generator for Mean {
    fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
        tch::no_grad(|| z.zeros_like() + &self.0)
    }

    fn nfe(&self) -> usize {
        1
    }
}
