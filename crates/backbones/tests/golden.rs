//! Values of the official networks, with weights by formula.

use backbones::{Inception, Lpips, LpipsFlavor, Pooling};
use diffusion_core::Parameters;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};

fn open(stem: &str) -> GoldenCase {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    GoldenCase::open(format!("{folder}/{stem}.safetensors")).unwrap()
}

fn fill(parameters: &Parameters, prefix: &str, change: impl Fn(&str, Tensor) -> Tensor) {
    let _no_grad = tch::no_grad_guard();
    for entry in parameters.iter().filter(|entry| !entry.name.starts_with("scaling_layer")) {
        let value = formula::value(&format!("{prefix}{}", entry.name), &entry.tensor.size());
        entry.tensor.shallow_clone().copy_(&change(&entry.name, value));
    }
}

/// `‖a - b‖ / ‖b‖`.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let [found, expected] = [found, expected].map(|x| x.to_kind(Kind::Double));
    (found - &expected).norm().double_value(&[]) / expected.norm().double_value(&[])
}

#[track_caller]
fn check(case: &GoldenCase, name: &str, found: &Tensor, tolerance: f64) {
    let error = distance(found, case.tensor(name).unwrap());
    assert!(error <= tolerance, "{name}: {error:.1e} > {tolerance:.1e}");
}

#[test]
fn inception_is_that_of_the_fid() {
    let case = open("inception_fid");
    let network = Inception::zeroed(Device::Cpu);
    fill(network.parameters(), "inception.", |name, value| {
        if name.ends_with(".conv.weight") { value * 1.5 } else { value }
    });
    let _no_grad = tch::no_grad_guard();
    let resized = case.tensor("x").unwrap().upsample_bilinear2d([299, 299], false, None, None);
    let blocks = network.blocks(&(resized * 2.0 - 1.0));
    check(&case, "features_f64", &blocks.pool, 2e-5);
    check(&case, "y_features_f64", &network.features(case.tensor("y").unwrap()), 2e-5);
    check(&case, "logits_f64", &network.logits(&blocks.pool), 2e-5);
    let probabilities = network.logits_without_bias(&blocks.pool).softmax(-1, Kind::Float);
    check(&case, "probs_no_bias", &probabilities, 2e-5);
    let maps = [&blocks.stem, &blocks.second, &blocks.middle];
    for (block, map) in maps.iter().enumerate() {
        let mean = map.mean_dim([2, 3].as_slice(), false, Kind::Double);
        check(&case, &format!("block{block}_mean_f64"), &mean, 2e-5);
        let corner = map.slice(1, None, None, 16).narrow(2, 0, 3).narrow(3, 0, 3);
        check(&case, &format!("block{block}_corner"), &corner, 2e-5);
    }
    // the images' features hardly differ: only this shows mistakes in early layers
    let difference = |features: &Tensor| features.get(0) - features.get(1);
    let expected = difference(case.tensor("features_f64").unwrap());
    assert!(distance(&difference(&blocks.pool), &expected) < 1e-3);
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

#[test]
fn lpips_is_that_of_its_package() {
    let case = open("lpips_vgg16");
    let metric = lpips(LpipsFlavor::Package);
    let (a, b) = (case.tensor("in0").unwrap(), case.tensor("in1").unwrap());
    let leaf = a.copy().set_requires_grad(true);
    let found = metric.distance(&leaf, b);
    check(&case, "lpips_f64", &found, 1e-5);
    check(&case, "layers_f64", &metric.contributions(a, b), 1e-5);
    check(&case, "spatial_rows", &metric.map(a, b).slice(2, None, None, 16), 1e-5);
    found.sum(Kind::Float).backward();
    check(&case, "grad_in0_rows", &leaf.grad().slice(2, None, None, 7), 1e-4);
    let squared = leaf.grad().to_kind(Kind::Double).square().sum(Kind::Double);
    check(&case, "grad_in0_sumsq", &squared, 2e-4);
}

#[test]
fn lpips_is_that_of_piq() {
    let case = open("lpips_vgg16");
    let (a, b) = (case.tensor("in0").unwrap(), case.tensor("in1").unwrap());
    for (name, pooling) in [("piq_max", Pooling::Max), ("piq_avg", Pooling::Mean)] {
        check(&case, name, &lpips(LpipsFlavor::Piq(pooling)).distance(a, b), 1e-5);
    }
}
