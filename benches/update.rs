//! What follows the backward pass: gradient norms, clipping, Adam, one average, zeroed gradients.
//!
//! | column | how |
//! |---|---|
//! | flat | as the trainer does it: the kernels walk flat memory, the clip factor is a divisor inside of Adam's kernel |
//! | lists | the same kernels over lists of tensors: Adam, clipping and average each take every tensor in turn |
//!
//! | network | parameters | dominated by |
//! |---|---|---|
//! | c16, two levels | 0.2 M | overhead of operations |
//! | c64, three blocks | 11 M | memory bandwidth, mostly |
//! | EDM's for CIFAR-10, c128 | 55.7 M | memory bandwidth |
//!
//! The two take turns, so that a busy neighbour slows both down: `cargo bench --bench update`.
#![allow(clippy::print_stdout)]

#[path = "network/build.rs"]
mod build;

use build::build;
use fewstep::diffusion_core::FlatParameters;
use fewstep::libtorch_ext::fused::{self, AdamStep, OnDevice};
use fewstep::prelude::*;
use fewstep::tch::{self, Cuda};
use std::time::Instant;

const N_ROUNDS: usize = 15;
/// So low that it always clips.
const CLIP: f64 = 1e-3;
const DECAY: f64 = 0.999;
const ADAM: AdamStep =
    AdamStep { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false };

fn main() {
    let device = device::parse("auto").expect("`auto` is always a device");
    let _no_grad = tch::no_grad_guard();
    println!(
        "{:>12} {:>8} {:>10} {:>10} {:>7}",
        "parameters", "tensors", "flat ms", "lists ms", "ratio"
    );
    let cifar10 = || SongUnetConfig::cifar10(0);
    let tiny =
        SongUnetConfig { model_channels: 16, channel_mult: vec![1, 2], num_blocks: 1, ..cifar10() };
    let middle = SongUnetConfig { model_channels: 64, num_blocks: 3, ..cifar10() };
    for config in [tiny, middle, cifar10()] {
        compare(&config, device);
    }
}

fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

fn compare(config: &SongUnetConfig, device: Device) {
    let networks = [(); 2].map(|()| build(config, device));
    let parameters = networks.each_ref().map(Network::parameters);
    let flat = Flat::new(parameters[0]);
    let lists = Lists::new(parameters[1]);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=N_ROUNDS {
        for which in [round % 2, 1 - round % 2] {
            // The order changes from round to round.
            let update: &dyn Update = if which == 0 { &flat } else { &lists };
            update.backward();
            synchronize(device);
            let start = Instant::now();
            update.update();
            synchronize(device);
            if round > 0 {
                times[which].push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let [flat_ms, lists_ms] = times.map(median);
    let (count, tensors) = (parameters[0].count(), parameters[0].trained().count());
    println!(
        "{count:>12} {tensors:>8} {flat_ms:>10.3} {lists_ms:>10.3} {:>7.2}",
        lists_ms / flat_ms
    );
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// One way of doing it.
trait Update {
    /// Leaves gradients behind, as a backward pass does.
    fn backward(&self);
    /// What is timed.
    fn update(&self);
}

/// Every buffer in one piece.
struct Flat {
    parameters: FlatParameters,
    grads: Tensor,
    views: Vec<Tensor>,
    moments: [Tensor; 2],
    average: Tensor,
    updates: Tensor,
}

impl Flat {
    fn new(parameters: &Parameters) -> Self {
        let parameters = parameters.flatten(|_| true).expect("all tensors are f32");
        let zeros = || parameters.layout().zeros(parameters.device());
        let grads = zeros();
        Self {
            views: parameters.layout().views(&grads),
            grads,
            moments: [zeros(), zeros()],
            average: parameters.snapshot(),
            updates: Tensor::zeros([0i64; 0], (Kind::Float, parameters.device())),
            parameters,
        }
    }
}

impl Update for Flat {
    fn backward(&self) {
        let _ = self.grads.shallow_clone().fill_(1e-3);
    }

    fn update(&self) {
        let norm = fused::norms(&self.views).expect("there are gradients").norm();
        let divisor = ((norm + 1e-6) / CLIP).clamp_min(1.0);
        let [grads, exp_avg, exp_avg_sq] = [&self.grads, &self.moments[0], &self.moments[1]]
            .map(|buffer| self.parameters.runs(buffer));
        let on_device = OnDevice { divisor: Some(&divisor), skip: None };
        let weights = self.parameters.weights();
        fused::adam_step(weights, &grads, &exp_avg, &exp_avg_sq, &self.updates, &ADAM, on_device)
            .expect("the runs fit each other");
        fused::lerp_(&self.parameters.runs(&self.average), weights, &[1.0 - DECAY])
            .expect("the runs fit each other");
        let _ = self.grads.shallow_clone().zero_();
    }
}

/// A tensor each.
struct Lists {
    weights: Vec<Tensor>,
    grads: Vec<Tensor>,
    moments: [Vec<Tensor>; 2],
    averages: Vec<Tensor>,
    updates: Tensor,
}

impl Lists {
    fn new(parameters: &Parameters) -> Self {
        let weights: Vec<Tensor> = parameters.trained().map(|p| p.tensor.shallow_clone()).collect();
        let zeros = || weights.iter().map(Tensor::zeros_like).collect::<Vec<_>>();
        Self {
            grads: zeros(),
            moments: [zeros(), zeros()],
            averages: weights.iter().map(|weight| weight.detach().copy()).collect(),
            updates: Tensor::zeros([0i64; 0], (Kind::Float, parameters.device())),
            weights,
        }
    }
}

impl Update for Lists {
    fn backward(&self) {
        for grad in &self.grads {
            let _ = grad.shallow_clone().fill_(1e-3);
        }
    }

    fn update(&self) {
        let norm = fused::global_norm(&self.grads).expect("there are gradients");
        let factor = ((norm + 1e-6).reciprocal() * CLIP).clamp_max(1.0);
        fused::scale_(&self.grads, &factor).expect("the factor is a scalar");
        let [exp_avg, exp_avg_sq] = &self.moments;
        let on_device = OnDevice::default();
        let (weights, grads) = (&self.weights, &self.grads);
        fused::adam_step(weights, grads, exp_avg, exp_avg_sq, &self.updates, &ADAM, on_device)
            .expect("the lists fit each other");
        fused::lerp_(&self.averages, weights, &vec![1.0 - DECAY; weights.len()])
            .expect("the lists fit each other");
        fused::zero_grads(weights).expect("the weights are leaves");
    }
}
