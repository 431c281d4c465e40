//! Weights that both sides load, and whether both compute the same with them.

use crate::protocol::{Differences, Request};
use crate::rows::Net;
use crate::side::Launcher;
use anyhow::{Context, Result, ensure};
use fewstep::diffusion_core::{Parameters, tensor_file};
use fewstep::diffusion_schedule::{Boundary, Edm};
use fewstep::diffusion_schedule::{EdmWeighting, Heun, KarrasGrid};
use fewstep::distill_losses::terms::{
    ConsistencyPair, Distance, adjacent_levels, consistency_loss, denoising_loss,
    score_identity_loss,
};
use fewstep::prelude::*;
use fewstep::tch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest relative difference that rounding explains; another epsilon in the norms makes twice as much.
const TOLERANCE: f64 = 1e-4;
const BATCH: i64 = 2;

/// A network's weight file.
pub(crate) fn weights(net: Net, folder: &Path) -> PathBuf {
    folder.join(format!("{}-teacher.safetensors", net.name()))
}

/// Writes the weights of `net` into `folder`, computes with them here and in the twin, and compares: outputs of the
/// networks, losses, gradients.
///
/// Returns the largest difference, relative to the largest value of the kind.
pub(crate) fn check(net: Net, folder: &Path, launcher: &Launcher, threads: usize) -> Result<f64> {
    let student_file = folder.join(format!("{}-student.safetensors", net.name()));
    let values_file = folder.join(format!("{}-values.safetensors", net.name()));
    let [teacher, student] = [(1, weights(net, folder)), (2, student_file.clone())]
        .map(|(seed, file)| written(net, seed, &file));
    let values = values(net, &teacher?, &student?)?;
    let named = values.iter().map(|(name, tensor)| (name.as_str(), tensor));
    tensor_file::write(&values_file, named, &BTreeMap::new())?;
    let mut twin = launcher.twin(threads)?;
    twin.ask::<serde_json::Value>(&Request::Hello { threads })?;
    let answer: Differences = twin.ask(&Request::Check {
        network: net.config(),
        teacher: weights(net, folder),
        student: student_file,
        values: values_file,
    })?;
    let (worst, difference) = answer
        .differences
        .iter()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .context("the twin has compared nothing")?;
    ensure!(
        *difference < TOLERANCE,
        "the two sides do not compute the same: `{worst}` of {net:?} differs by {difference:.1e}"
    );
    Ok(*difference)
}

/// A network whose weights are random everywhere; fresh ones are almost zero where it would matter.
fn written(net: Net, seed: u64, file: &Path) -> Result<Network> {
    let config = ModelConfig {
        architecture: unet::Architecture::SongUnet(net.config()),
        preconditioning: Preconditioning::Edm(Edm::default()),
        sampler: None,
    };
    let mut noise = Noise::new(seed);
    let network = config.build(&mut noise, Device::Cpu)?;
    {
        let _no_grad = tch::no_grad_guard();
        for parameter in network.parameters().trained() {
            let mut weight = parameter.tensor.shallow_clone();
            weight += noise.normal(&weight.size()) * 0.02;
        }
    }
    unet::save(file, network.parameters(), &config)?;
    Ok(network)
}

/// Inputs, and what this side makes of them.
fn values(net: Net, teacher: &Network, student: &Network) -> Result<BTreeMap<String, Tensor>> {
    let config = net.config();
    let mut noise = Noise::new(3);
    let shape = [BATCH, config.img_channels, config.img_resolution, config.img_resolution];
    let (images, n) = (noise.normal(&shape).clamp(-1.0, 1.0), noise.normal(&shape));
    let sigma = Tensor::from_slice(&[0.4f32, 3.0]);
    let [high, low] = adjacent_levels(&KarrasGrid::default(), &[4, 11], 18, Device::Cpu);
    let cond = Cond::classes(&[0, config.label_dim.min(2) / 2], config.label_dim, Device::Cpu)?;

    let boundary = Preconditioning::Boundary(Boundary::default());
    let (target, consistent) = (teacher.twin_as(boundary), student.twin_as(boundary));
    let (frozen, fake) = (teacher.twin(), student.twin());
    for network in [&target, &frozen, &fake] {
        network.parameters().set_requires_grad(false);
    }
    let mut values = BTreeMap::from([
        ("denoised".to_owned(), frozen.denoise(&images, &sigma, &cond)),
        ("boundary".to_owned(), target.denoise(&images, &sigma, &cond)),
    ]);
    let mut insert = |name: &str, loss: Tensor, parameters: &Parameters| {
        let loss = loss.mean(Kind::Float);
        loss.backward();
        values.insert(format!("{name}.loss"), loss.detach());
        for parameter in parameters.trained() {
            let mut grad = parameter.tensor.grad();
            if grad.defined() && parameter.name != "model.map_augment.weight" {
                values.insert(format!("{name}.grad.{}", parameter.name), grad.copy());
                let _ = grad.zero_();
            }
        }
    };
    let weighting = EdmWeighting::default();
    let denoising = denoising_loss(student, &images, &sigma, &n, &cond, &weighting);
    insert("teacher", denoising, student.parameters());
    let pair = ConsistencyPair::by_teacher(&frozen, &Heun, &images, &n, [&high, &low], &cond);
    let consistency = consistency_loss(&consistent, &target, &pair, &cond, Distance::L2);
    insert("cd", consistency, consistent.parameters());
    let start = Tensor::full([BATCH], 2.5, (Kind::Float, Device::Cpu));
    let y = student.denoise(&(&n * 2.5), &start, &cond);
    let x = &y + sigma.view([-1, 1, 1, 1]) * &n;
    let [real, fake] = [&frozen, &fake].map(|network| network.denoise(&x, &sigma, &cond));
    insert("sid", score_identity_loss(&real, &fake, &y, 1.2), student.parameters());

    values.extend([("images", images), ("noise", n), ("sigma", sigma)].map(named));
    values.extend([("high", high), ("low", low)].map(named));
    values.extend(cond.labels.map(|labels| ("labels".to_owned(), labels)));
    Ok(values)
}

fn named((name, tensor): (&str, Tensor)) -> (String, Tensor) {
    (name.to_owned(), tensor)
}
