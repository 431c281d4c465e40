//! Our side of the rows without a training step: evaluation, generation, the optimizer alone.

use crate::protocol::{Job, Precision};
use crate::training::RATE;
use crate::worker::Work;
use anyhow::Result;
use fewstep::distill_trainer::{Ema, EmaConfig, Optimizer, OptimizerConfig, Progress};
use fewstep::libtorch_ext::Autocast;
use fewstep::libtorch_ext::fused::{self, OnDevice};
use fewstep::prelude::*;
use fewstep::tch;
use std::time::Instant;

/// The level of the one evaluation of a one-step generator, as score identity distillation has it.
const ONE_STEP: OneStep = OneStep { sigma: 2.5 };

pub(crate) fn forward(job: &Job) -> Result<Work> {
    let (network, cond, z) = load(job)?;
    network.prepare();
    let sigma = Tensor::ones([job.batch], (Kind::Float, Device::Cpu));
    Ok(repeat(evaluation(job.precision, move || drop(network.denoise(&z, &sigma, &cond)))))
}

pub(crate) fn generate(job: &Job) -> Result<Work> {
    let (network, cond, z) = load(job)?;
    network.prepare();
    let generator = Sampling::new(network, ONE_STEP);
    let mut noise = Noise::new(2);
    let once = move || drop(generator.generate(&z, &cond, &mut noise));
    Ok(repeat(evaluation(job.precision, once)))
}

/// Clipping, Adam and the average, as the trainer does them; the gradients stay what they are.
pub(crate) fn optimizer(job: &Job) -> Result<Work> {
    let (network, ..) = load(job)?;
    let config = OptimizerConfig::default().with_lr(RATE);
    let optimizer = Optimizer::new(&config, network.parameters())?;
    let decay = EmaConfig::Constant { decay: 0.999 };
    let mut ema = Ema::new(decay, network.parameters())?;
    let buffer = optimizer.parameters().layout().zeros(Device::Cpu).fill_(1e-3);
    let views = optimizer.parameters().layout().views(&buffer);
    let grads = optimizer.parameters().runs(&buffer);
    Ok(repeat(move || {
        let _no_grad = tch::no_grad_guard();
        let norm = fused::norms(&views).expect("gradients are tensors of one kind").norm();
        let divisor = (norm + 1e-6).clamp_min(1.0);
        let on_device = OnDevice { divisor: Some(&divisor), skip: None };
        optimizer.update(&grads, RATE, on_device).expect("gradients fit their parameters");
        ema.update(Progress::default(), 1).expect("averages fit their parameters");
        let _ = &network; // its parameters are views of what is updated
    }))
}

/// One class label per image, in turn; nothing for a network without classes.
pub(crate) fn classes(job: &Job) -> Result<Cond> {
    let classes = job.network.label_dim;
    let labels: Vec<i64> = (0..job.batch).map(|i| i % classes.max(1)).collect();
    Ok(Cond::classes(&labels, classes, Device::Cpu)?)
}

/// The job's network, conditions and unit noise.
fn load(job: &Job) -> Result<(Network, Cond, Tensor)> {
    let (network, _) = unet::load(&job.weights, Device::Cpu)?;
    let side = job.network.img_resolution;
    let z = Noise::new(1).normal(&[job.batch, job.network.img_channels, side, side]);
    Ok((network, classes(job)?, z))
}

/// `once` without a graph and in the precision asked for.
fn evaluation(precision: Precision, mut once: impl FnMut()) -> impl FnMut() {
    move || {
        let _no_grad = tch::no_grad_guard();
        let _bf16 = (precision == Precision::Bf16).then(|| Autocast::bf16(Device::Cpu));
        once();
    }
}

fn repeat(mut once: impl FnMut() + 'static) -> Work {
    Box::new(move |iterations| {
        let timed = |_| {
            let start = Instant::now();
            once();
            start.elapsed().as_secs_f64()
        };
        Ok((0..iterations).map(timed).collect())
    })
}
