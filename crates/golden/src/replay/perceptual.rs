//! `lpips_vgg16` and `inception_fid`: networks as metrics use them.

use super::Replayed;
use crate::{Result, Tolerance};
use backbones::{Inception, Lpips, LpipsFlavor, Pooling};
use diffusion_core::Parameters;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};

/// The networks compute in `f32`.
const VALUES: Tolerance = Tolerance::Relative(1e-5);
const GRADIENTS: Tolerance = Tolerance::Relative(1e-4);
const FEATURES: Tolerance = Tolerance::Relative(2e-5);

pub(super) fn replay_lpips(case: &GoldenCase) -> Result<Replayed> {
    let metric = lpips(LpipsFlavor::Package);
    let (a, b) = (case.tensor("in0")?, case.tensor("in1")?);
    let leaf = a.copy().set_requires_grad(true);
    let distance = metric.distance(&leaf, b);
    distance.sum(Kind::Float).backward();
    let _no_grad = tch::no_grad_guard();
    let every = |x: &Tensor, step| x.slice(2, None, None, step);
    let mut replayed = Replayed::default();
    replayed.given(["in0", "in1"]);
    let contributions = metric.contributions(a, b);
    for name in ["lpips", "lpips_f64"] {
        replayed.insert_within(VALUES, name, distance.detach());
    }
    for name in ["layers", "layers_f64"] {
        replayed.insert_within(VALUES, name, contributions.shallow_clone());
    }
    replayed.insert_within(VALUES, "spatial_rows", every(&metric.map(a, b), 16));
    replayed.insert_within(GRADIENTS, "grad_in0_rows", every(&leaf.grad(), 7));
    let squared = leaf.grad().to_kind(Kind::Double).square().sum(Kind::Double);
    replayed.insert_within(GRADIENTS, "grad_in0_sumsq", squared);
    for (tap, map) in metric.features(a).iter().enumerate() {
        let mean = map.mean_dim([2, 3].as_slice(), false, Kind::Double).narrow(1, 0, 16);
        replayed.insert_within(VALUES, format!("tap{tap}_mean"), mean);
    }
    for (name, pooling) in [("piq_max", Pooling::Max), ("piq_avg", Pooling::Mean)] {
        replayed.insert_within(VALUES, name, lpips(LpipsFlavor::Piq(pooling)).distance(a, b));
    }
    Ok(replayed)
}

fn lpips(flavor: LpipsFlavor) -> Lpips {
    let metric = Lpips::zeroed(flavor, Device::Cpu);
    fill(
        metric.parameters(),
        "lpips.",
        |name, value| {
            if name.starts_with("lin") { value.abs() } else { value }
        },
    );
    metric
}

pub(super) fn replay_inception(case: &GoldenCase) -> Result<Replayed> {
    let network = Inception::zeroed(Device::Cpu);
    fill(network.parameters(), "inception.", |name, value| {
        if name.ends_with(".conv.weight") { value * 1.5 } else { value }
    });
    let _no_grad = tch::no_grad_guard();
    let resized = case.tensor("x")?.upsample_bilinear2d([299, 299], false, None, None);
    let blocks = network.blocks(&(resized * 2.0 - 1.0));
    let probabilities = network.logits_without_bias(&blocks.pool).softmax(-1, Kind::Float);
    let mut replayed = Replayed::default();
    replayed.given(["x", "y"]);
    for (name, value) in [
        ("features_f64", blocks.pool.shallow_clone()),
        ("y_features_f64", network.features(case.tensor("y")?)),
        ("logits_f64", network.logits(&blocks.pool)),
        ("probs_no_bias", probabilities),
    ] {
        replayed.insert_within(FEATURES, name, value);
    }
    for (block, map) in [&blocks.stem, &blocks.second, &blocks.middle].iter().enumerate() {
        let mean = map.mean_dim([2, 3].as_slice(), false, Kind::Double);
        let corner = map.slice(1, None, None, 16).narrow(2, 0, 3).narrow(3, 0, 3);
        replayed.insert_within(FEATURES, format!("block{block}_mean_f64"), mean);
        replayed.insert_within(FEATURES, format!("block{block}_corner"), corner);
    }
    Ok(replayed)
}

/// Sets every tensor but the constants of LPIPS to the formula's value, changed by `change`.
fn fill(parameters: &Parameters, prefix: &str, change: impl Fn(&str, Tensor) -> Tensor) {
    let _no_grad = tch::no_grad_guard();
    for entry in parameters.iter().filter(|entry| !entry.name.starts_with("scaling_layer")) {
        let value = formula::value(&format!("{prefix}{}", entry.name), &entry.tensor.size());
        entry.tensor.shallow_clone().copy_(&change(&entry.name, value));
    }
}
