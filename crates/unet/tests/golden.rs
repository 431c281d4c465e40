//! Values of the official network.

use diffusion_core::{Backbone, Cond, Denoiser, FeatureSite, FeatureTaps, shape};
use diffusion_schedule::{Edm, Precondition, Preconditioned, Preconditioning};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula, max_relative_error};
use unet::{SongUnet, SongUnetConfig};

/// The case and its network, filled with the weights of the formula.
fn open(stem: &str) -> (GoldenCase, Preconditioned<SongUnet>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let case = GoldenCase::open(format!("{folder}/{stem}.safetensors")).unwrap();
    let mut config = case.config().clone();
    assert_eq!(config.as_object_mut().unwrap().remove("model_type").unwrap(), "SongUNet");
    let config: SongUnetConfig = serde_json::from_value(config).unwrap();
    let network = SongUnet::zeroed(&config, Device::Cpu).unwrap();
    formula::fill(network.parameters(), "");
    assert_eq!(network.parameters().count() as u64, case.description()["parameters"]);
    (case, Preconditioned::new(network, Preconditioning::Edm(Edm::default())))
}

fn cond(case: &GoldenCase) -> Cond {
    let mut cond = Cond::none();
    cond.labels = Some(case.tensor("in.class_labels").unwrap().shallow_clone());
    cond.with_augment(case.tensor("in.augment_labels").unwrap().shallow_clone())
}

#[track_caller]
fn check(case: &GoldenCase, name: &str, found: &Tensor) {
    let error = max_relative_error(found, case.tensor(name).unwrap());
    let tolerance = case.tolerance().unwrap();
    assert!(error <= tolerance, "{name}: {error:.1e} > {tolerance:.1e}");
}

#[test]
fn ddpmpp_layers_match() {
    let (case, network) = open("edm_ddpmpp_edm");
    let x = case.tensor("in.x").unwrap();
    let c = network.preconditioning().coefficients(case.tensor("in.sigma").unwrap());
    check(&case, "mid.c_noise", &c.c_noise);
    let mut found = BTreeMap::new();
    let mut tap = |site: &FeatureSite, output: &Tensor| {
        found.insert(format!("mid.{}", site.name), output.narrow(0, 0, 1));
        ControlFlow::Continue(())
    };
    let x = x * shape::per_image(&c.c_in, x);
    let out = network.backbone().forward_tapped(&x, &c.c_noise, &cond(&case), None, &mut tap);
    check(&case, "out.F", &out.unwrap());
    let layers: Vec<&String> =
        case.tensors.keys().filter(|name| name.starts_with("mid.model.")).collect();
    assert_eq!(layers.len(), 5);
    for name in layers {
        check(&case, name, &found[name]);
    }
}

#[test]
fn ddpmpp_denoises_like_the_official_network() {
    let (case, network) = open("edm_ddpmpp_edm");
    let (x, sigma) = (case.tensor("in.x").unwrap(), case.tensor("in.sigma").unwrap());
    check(&case, "out.D", &network.denoise(x, sigma, &cond(&case)));
    check(&case, "out.D_no_label", &network.denoise(x, sigma, &Cond::none()));
    let mut not_augmented = cond(&case);
    not_augmented.augment = None;
    check(&case, "out.D_no_augment", &network.denoise(x, sigma, &not_augmented));
    let first = not_augmented.narrow(0, 1);
    let sigma = Tensor::from_slice(&[1f32]);
    let faint = network.denoise(case.tensor("in.x_faint").unwrap(), &sigma, &first);
    check(&case, "out.D_faint", &faint);
}

#[test]
fn ddpmpp_has_the_official_gradient() {
    let (case, network) = open("edm_ddpmpp_edm");
    let x = case.tensor("in.x").unwrap().copy().set_requires_grad(true);
    let denoised = network.denoise(&x, case.tensor("in.sigma").unwrap(), &cond(&case));
    (denoised * case.tensor("in.probe").unwrap()).sum(Kind::Float).backward();
    check(&case, "out.grad_x", &x.grad());
}
