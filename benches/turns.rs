//! Training: each turn of each method, and whole steps by the trainer.
//!
//! | id | what is timed |
//! |---|---|
//! | `turn/METHOD/TURN/SIZE/DEVICE` | objective, backward pass, optimizer step, and what the method does after the turn |
//! | `step/METHOD/SIZE/DEVICE` | a step of the trainer: all its turns, data, gradient norms, averages |
//!
//! All methods of `METHODS`, on the quickstart's network, 16 × 16, 16 channels, batch 16, `f32`.

mod network;

use criterion::Criterion;
use fewstep::datasets::{Loader, Shapes};
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::{Optimizer, Player, Precision, Progress, Role, Turn};
use fewstep::libtorch_ext::fused;
use fewstep::prelude::*;
use network::{build, classes, size, synchronize, tiny};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCH: i64 = 16;
/// Small, so that any number of steps from random weights stays finite.
const RATE: f64 = 1e-6;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let device = device::parse("auto").expect("`auto` is always a device");
    let teacher = build(&tiny(), device);
    for entry in METHODS {
        turns(&mut criterion, entry, &teacher, device);
        steps(&mut criterion, entry, &teacher, device);
    }
    criterion.final_summary();
}

fn make(entry: &MethodInfo, teacher: &Network) -> Box<dyn Distiller> {
    (entry.build)(&Ingredients::distill(teacher), &Default::default()).expect("defaults are valid")
}

fn turns(criterion: &mut Criterion, entry: &MethodInfo, teacher: &Network, device: Device) {
    let mut game = Game::new(make(entry, teacher), entry);
    let mut noise = Noise::new(1).on(device);
    let images = noise.normal(&[BATCH, 3, 16, 16]).clamp(-1.0, 1.0);
    let batch = Batch { images, cond: classes(&tiny(), BATCH, device) };
    let mut group = criterion.benchmark_group(format!("turn/{}", entry.name));
    for turn in game.method.turns(Progress::default()) {
        let id = format!("{}/{}/{device:?}", turn.name, size(&tiny(), BATCH)).to_lowercase();
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                game.take(&turn, &batch, &mut noise);
                synchronize(device);
            });
        });
    }
    group.finish();
}

/// A method with its optimizers, to take single turns.
struct Game {
    method: Box<dyn Distiller>,
    players: Vec<(Role, Vec<Tensor>, Optimizer)>,
}

impl Game {
    fn new(method: Box<dyn Distiller>, entry: &MethodInfo) -> Self {
        let settings = (entry.short_run)();
        let player = |player: Player<'_>| {
            let params = player.parameters.trained().map(|p| p.tensor.shallow_clone()).collect();
            let optimizer = &settings[player.role.0].optimizer;
            (
                player.role,
                params,
                Optimizer::new(optimizer, player.parameters).expect("tensors are f32"),
            )
        };
        let players = method.players().into_iter().map(player).collect();
        Self { method, players }
    }

    /// One turn, as the trainer takes it.
    fn take(&mut self, turn: &Turn, batch: &Batch, noise: &mut Noise) {
        for player in self.method.players() {
            player.parameters.set_requires_grad(turn.trains.contains(&player.role));
        }
        let progress = Progress::default();
        self.method.objective(turn, batch, progress, noise).loss.backward();
        for (role, params, optimizer) in &mut self.players {
            if turn.trains.contains(role) {
                optimizer.step(RATE).expect("gradients fit their parameters");
                fused::zero_grads(params).expect("parameters have gradients");
            }
        }
        self.method.after_turn(turn, progress);
    }
}

fn steps(criterion: &mut Criterion, entry: &MethodInfo, teacher: &Network, device: Device) {
    let shapes = Arc::new(Shapes::new(16, 1000, 0));
    let id = format!("step/{}/{}/{device:?}", entry.name, size(&tiny(), BATCH)).to_lowercase();
    criterion.bench_function(&id, |bencher| {
        bencher.iter_custom(|n_steps| {
            let mut run = TrainConfig {
                batch: BATCH as usize,
                kimg: (n_steps * BATCH as u64) as f64 / 1000.0,
                tick_kimg: f64::MAX,
                precision: Precision::F32,
                roles: (entry.short_run)(),
                ..TrainConfig::default()
            };
            run.roles.values_mut().for_each(|role| role.optimizer.lr = RATE);
            let mut trainer = Trainer::new(make(entry, teacher), run, device).expect("valid");
            let mut loader = Loader::new(shapes.clone(), 0).expect("there are pictures");
            let start = Instant::now();
            trainer.run(&mut loader).expect("the run stays finite");
            synchronize(device);
            start.elapsed()
        });
    });
}
