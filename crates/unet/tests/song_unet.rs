//! What a SongUNet does, apart from its exact values and the laws of all networks.

use diffusion_core::{Backbone, Cond, FeatureTaps, Noise};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use unet::{SongUnet, SongUnetConfig};

fn config() -> SongUnetConfig {
    SongUnetConfig {
        img_resolution: 8,
        label_dim: 3,
        augment_dim: 9,
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        dropout: 0.3,
        ..SongUnetConfig::default()
    }
}

fn network() -> SongUnet {
    SongUnet::new(&config(), &mut Noise::new(1), Device::Cpu).unwrap()
}

/// Fresh weights with every tensor moved away from its start, so that no branch is silent.
fn awake() -> SongUnet {
    let network = network();
    let mut noise = Noise::new(2);
    tch::no_grad(|| {
        for entry in network.parameters().trained() {
            let mut tensor = entry.tensor.shallow_clone();
            let _ = tensor.g_add_(&(noise.normal(&entry.tensor.size()) * 0.2));
        }
    });
    network
}

struct Input {
    x: Tensor,
    c_noise: Tensor,
    cond: Cond,
}

fn input() -> Input {
    let mut noise = Noise::new(3);
    let augment = noise.normal(&[2, 9]);
    let cond = Cond::classes(&[0, 2], 3, Device::Cpu).unwrap().with_augment(augment);
    Input { x: noise.normal(&[2, 3, 8, 8]), c_noise: noise.normal(&[2]), cond }
}

fn run(network: &dyn Backbone, Input { x, c_noise, cond }: &Input) -> Tensor {
    network.forward(x, c_noise, cond, None)
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

#[test]
fn a_fresh_network_answers_with_almost_nothing() {
    let found = largest(&run(&network(), &input()));
    assert!(found > 0.0 && found < 1e-3, "{found}");
}

#[test]
fn equal_seeds_give_equal_networks() {
    let other = SongUnet::new(&config(), &mut Noise::new(4), Device::Cpu).unwrap();
    assert_eq!(run(&network(), &input()), run(&network(), &input()));
    assert_ne!(run(&network(), &input()), run(&other, &input()));
}

#[test]
fn without_dropout_training_equals_evaluation() {
    let config = SongUnetConfig { dropout: 0.0, ..config() };
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let mut noise = Noise::new(5);
    let Input { x, c_noise, cond } = input();
    let training = network.forward(&x, &c_noise, &cond, Some(&mut noise));
    assert_eq!(training, run(&network, &input()));
    assert_eq!(noise.state(), Noise::new(5).state());
}

#[test]
fn label_dropout_hides_classes_in_training_only() {
    let config = SongUnetConfig { dropout: 0.0, label_dropout: 0.999_999, ..config() };
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    network.parameters().copy_from(awake().parameters()).unwrap();
    let Input { x, c_noise, cond } = input();
    let mut no_labels = cond.clone();
    no_labels.labels = None;
    let hidden = network.forward(&x, &c_noise, &no_labels, None);
    assert_eq!(network.forward(&x, &c_noise, &cond, Some(&mut Noise::new(5))), hidden);
    assert_ne!(network.forward(&x, &c_noise, &cond, None), hidden);
}

#[test]
fn missing_labels_count_as_zeros() {
    let network = awake();
    let Input { x, c_noise, .. } = input();
    let zeros = |width| Tensor::zeros([2, width], (Kind::Float, Device::Cpu));
    let mut cond = Cond::none().with_augment(zeros(9));
    cond.labels = Some(zeros(3));
    let expected = network.forward(&x, &c_noise, &cond, None);
    assert_eq!(network.forward(&x, &c_noise, &Cond::none(), None), expected);
    assert_ne!(run(&network, &input()), expected);
}

#[test]
fn an_unconditional_network_ignores_labels() {
    let config = SongUnetConfig { label_dim: 0, augment_dim: 0, ..config() };
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let Input { x, c_noise, cond } = input();
    let expected = network.forward(&x, &c_noise, &Cond::none(), None);
    assert_eq!(network.forward(&x, &c_noise, &cond, None), expected);
}

#[test]
#[should_panic(expected = "`labels` of the condition have shape [2, 4]; this network needs [2, 3]")]
fn labels_of_another_width_are_refused() {
    let Input { x, c_noise, .. } = input();
    let cond = Cond::classes(&[0, 1], 4, Device::Cpu).unwrap();
    let _ = network().forward(&x, &c_noise, &cond, None);
}

#[test]
#[should_panic(expected = "this network needs [B, 3, 8, 8]")]
fn images_of_another_size_are_refused() {
    let Input { c_noise, cond, .. } = input();
    let _ = network().forward(&Noise::new(1).normal(&[2, 3, 16, 16]), &c_noise, &cond, None);
}

#[test]
fn taps_show_every_layer_in_order() {
    let Input { x, c_noise, cond } = input();
    let mut names = Vec::new();
    let _ = network().forward_tapped(&x, &c_noise, &cond, None, &mut |site, _| {
        names.push(site.name.clone());
        ControlFlow::Continue(())
    });
    let layers = [
        "map_layer1",
        "enc.8x8_conv",
        "enc.8x8_block0",
        "enc.4x4_down",
        "enc.4x4_block0",
        "dec.4x4_in0",
        "dec.4x4_in1",
        "dec.4x4_block0",
        "dec.4x4_block1",
        "dec.8x8_up",
        "dec.8x8_block0",
        "dec.8x8_block1",
        "dec.8x8_aux_conv",
    ];
    assert_eq!(names, layers.map(|layer| format!("model.{layer}")));
}

#[test]
fn any_size_can_be_built() {
    let config = SongUnetConfig {
        img_resolution: 28,
        img_channels: 1,
        model_channels: 4,
        channel_mult: vec![1, 2, 3],
        num_blocks: 2,
        attn_resolutions: vec![14, 7],
        ..SongUnetConfig::default()
    };
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let x = Noise::new(2).normal(&[1, 1, 28, 28]);
    let out = network.forward(&x, &Tensor::from_slice(&[0.5f32]), &Cond::none(), None);
    assert_eq!(out.size(), [1, 1, 28, 28]);
}
