//! What a generative equilibrium transformer does, apart from its exact values.

use diffusion_core::{Cond, Generator, Noise};
use tch::{Device, Kind, Tensor};
use unet::{FixedPoint, Get, GetConfig};

fn config() -> GetConfig {
    GetConfig {
        input_size: 8,
        hidden_size: 16,
        num_heads: 2,
        depth: 1,
        deq_depth: 2,
        num_classes: 3,
        ..GetConfig::default()
    }
}

/// Fresh weights moved away from their start; the last layer of a fresh network is zero.
fn network() -> Get {
    let network = Get::new(&config(), &mut Noise::new(1), Device::Cpu).unwrap();
    let mut noise = Noise::new(2);
    tch::no_grad(|| {
        for entry in network.parameters().trained() {
            let mut tensor = entry.tensor.shallow_clone();
            let _ = tensor.g_add_(&(noise.normal(&entry.tensor.size()) * 0.1));
        }
    });
    network
}

fn input() -> (Tensor, Cond) {
    (Noise::new(3).normal(&[2, 3, 8, 8]), Cond::classes(&[0, 2], 3, Device::Cpu).unwrap())
}

fn check_list(config: &GetConfig, list: &str) {
    let network = Get::zeroed(config, Device::Cpu).unwrap();
    let found: Vec<String> = (network.parameters().iter())
        .map(|entry| format!("{} {:?} float32", entry.name, entry.tensor.size()))
        .collect();
    assert!(found.iter().eq(&list.lines().collect::<Vec<_>>()), "{found:#?}");
}

#[test]
fn names_and_shapes_are_official() {
    let with_classes = |config| GetConfig { num_classes: 10, ..config };
    check_list(&with_classes(GetConfig::tiny()), include_str!("state_dicts/get_t_cond.txt"));
    check_list(&with_classes(GetConfig::small()), include_str!("state_dicts/get_s_cond.txt"));
}

#[test]
fn equal_noise_gives_equal_images() {
    let (network, (z, cond)) = (network(), input());
    let images = |seed| network.generate(&z, &cond, &mut Noise::new(seed));
    assert_eq!(images(5), images(5));
    assert_ne!(images(5), images(6));
    assert!(!images(5).requires_grad());
}

#[test]
fn classes_steer_the_image() {
    let (network, (x, _)) = (network(), input());
    let start = network.start(2, &mut Noise::new(4));
    let of = |classes: &[i64]| {
        let cond = Cond::classes(classes, 3, Device::Cpu).unwrap();
        network.solve(&x, &cond, &start, FixedPoint::default()).state
    };
    assert_eq!(of(&[0, 1]).get(0), of(&[0, 2]).get(0));
    assert_ne!(of(&[0, 1]).get(1), of(&[0, 2]).get(1));
}

#[test]
fn training_decodes_every_state_and_reaches_every_parameter() {
    let (network, (x, cond)) = (network(), input());
    let start = network.start(2, &mut Noise::new(4));
    let images = network.unroll(&x, &cond, &start, 3);
    assert_eq!(images.len(), 3);
    let once = FixedPoint { iterations: 1, tolerance: 0.0 };
    assert_eq!(images[0], network.solve(&x, &cond, &start, once).state);
    let loss: Tensor = images.iter().map(|image| image.square().mean(Kind::Float)).sum();
    loss.backward();
    for entry in network.parameters().trained() {
        let grad = entry.tensor.grad();
        let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
        assert!(reached, "no gradient reaches `{}`", entry.name);
    }
}

#[test]
#[should_panic(expected = "this network needs a class for each image: `labels` [2, 3], one-hot")]
fn a_missing_class_is_named() {
    let _ = network().generate(&input().0, &Cond::none(), &mut Noise::new(1));
}

#[test]
#[should_panic(expected = "this network needs [B, 3, 8, 8]")]
fn images_of_another_size_are_refused() {
    let z = Noise::new(1).normal(&[2, 3, 16, 16]);
    let _ = network().generate(&z, &input().1, &mut Noise::new(1));
}
