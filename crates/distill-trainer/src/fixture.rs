//! A method without randomness, on data that repeat: what runs do to each other can be told to the bit.

use crate::{
    DistillMethod, Objective, Observer, Player, Progress, RoleConfig, TrainConfig, Trainer, Turn,
};
use crate::{Flow, Precision, Result, Role, Tick};
use diffusion_core::{Batch, BatchSource, Cond, Generator, Noise, Parameters, State};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Device, Kind, Tensor};

pub(crate) const FIRST: Role = Role("first");
pub(crate) const SECOND: Role = Role("second");
pub(crate) const BATCH: usize = 6;

/// Two linear maps that learn to double pictures of three pixels, in one turn or one after the other.
pub(crate) struct Doubling {
    pub(crate) networks: [Parameters; 2],
    pub(crate) turns: Vec<Turn>,
}

impl Doubling {
    /// `together` trains both in one turn.
    pub(crate) fn new(together: bool) -> Self {
        let turns = if together {
            vec![Turn::new("both", &[FIRST, SECOND])]
        } else {
            vec![Turn::new("one", &[FIRST]), Turn::new("two", &[SECOND])]
        };
        Self { networks: [0.5, -0.25].map(network), turns }
    }
}

fn network(scale: f64) -> Parameters {
    let mut parameters = Parameters::new(Device::Cpu);
    let wave = |n: i64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.7).sin() * scale;
    let _ = parameters.trainable("body.weight", wave(9).view([3, 3]));
    let _ = parameters.trainable("body.bias", wave(3));
    let _ = parameters.trainable("head", wave(3) + 1.0);
    let _ = parameters.trainable("unused", wave(5));
    parameters
}

/// The network's images; 1 if it computed them in `bf16`, otherwise 0.
fn apply(network: &Parameters, x: &Tensor) -> (Tensor, Tensor) {
    let [weight, bias, head] =
        ["body.weight", "body.bias", "head"].map(|name| network.get(name).unwrap());
    let product = x.view([-1, 3]).matmul(weight);
    let bf16 = Tensor::from(f64::from(u8::from(product.kind() == Kind::BFloat16)));
    ((product + bias).to_kind(Kind::Float) * head, bf16)
}

impl DistillMethod for Doubling {
    fn players(&self) -> Vec<Player<'_>> {
        let roles = [FIRST, SECOND].into_iter().zip(&self.networks);
        roles.map(|(role, parameters)| Player { role, parameters }).collect()
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        self.turns.clone()
    }

    fn objective(&self, turn: &Turn, batch: &Batch, _: Progress, _: &mut Noise) -> Objective {
        let goal = batch.images.view([-1, 3]) * 2.0;
        let mut objective = Objective::new(Tensor::from(0f32));
        for (player, network) in self.players().iter().zip(&self.networks) {
            if turn.trains.contains(&player.role) {
                let (images, bf16) = apply(network, &batch.images);
                let error = (images - &goal).square().mean(Kind::Float);
                objective = Objective { loss: objective.loss + &error, ..objective }
                    .with_term("error", &error)
                    .with_term("bf16", &bf16);
            }
        }
        objective
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        Box::new(Double(&self.networks[0]))
    }
}

struct Double<'a>(&'a Parameters);

impl Generator for Double<'_> {
    fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
        apply(self.0, z).0.detach()
    }

    fn nfe(&self) -> usize {
        1
    }
}

/// Pictures that depend on their number alone; those of one batch may be NaN.
pub(crate) struct Numbered {
    pub(crate) batch: i64,
    pub(crate) poisoned: Option<i64>,
}

impl BatchSource for Numbered {
    fn next_batch(&mut self, size: usize) -> diffusion_core::Result<Batch> {
        let n = size as i64 * 3;
        let numbers = Tensor::arange(n, (Kind::Float, Device::Cpu)) + self.batch * n;
        let bad = self.poisoned == Some(self.batch);
        self.batch += 1;
        let images = (numbers * 0.37).sin().view([size as i64, 1, 1, 3]);
        Ok(Batch { images: if bad { images * f64::NAN } else { images }, cond: Cond::none() })
    }

    fn state(&self) -> State {
        State::default()
    }

    fn restore(&mut self, _state: &State) -> diffusion_core::Result<()> {
        Ok(())
    }
}

/// So many steps in `f32`, each reported.
pub(crate) fn config(n_steps: u64, role: &RoleConfig) -> TrainConfig {
    let kimg = BATCH as f64 / 1000.0;
    TrainConfig {
        batch: BATCH,
        kimg: n_steps as f64 * kimg,
        tick_kimg: kimg,
        precision: Precision::F32,
        roles: [FIRST, SECOND].map(|player| (player.to_string(), role.clone())).into(),
        ..TrainConfig::default()
    }
}

/// The log of every report.
pub(crate) type Log = Rc<RefCell<Vec<BTreeMap<String, f64>>>>;

struct Recorder(Log);

impl Observer for Recorder {
    fn on_tick(&mut self, tick: &Tick, _student: &dyn Generator) -> Result<Flow> {
        let mut row = tick.scalars();
        row.retain(|name, _| !name.starts_with("speed/") && !name.starts_with("memory/"));
        self.0.borrow_mut().push(row);
        Ok(Flow::Continue)
    }
}

/// A trainer on the CPU, and its log.
pub(crate) fn trainer(method: Doubling, config: TrainConfig) -> Result<(Trainer<Doubling>, Log)> {
    let log = Log::default();
    let trainer = Trainer::new(method, config, Device::Cpu)?.observe(Recorder(Rc::clone(&log)));
    Ok((trainer, log))
}

/// All weights of both players as they stand.
pub(crate) fn weights(trainer: &Trainer<Doubling>) -> BTreeMap<String, Tensor> {
    let networks = trainer.method().networks.iter().enumerate();
    networks
        .flat_map(|(index, network)| {
            network.iter().map(move |p| (format!("{index}.{}", p.name), p.tensor.detach().copy()))
        })
        .collect()
}
