//! What a SongUNet does, apart from its exact values.

use diffusion_core::{Backbone, Cond, Noise};
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

fn run_training(network: &dyn Backbone, seed: u64) -> Tensor {
    let Input { x, c_noise, cond } = input();
    network.forward(&x, &c_noise, &cond, Some(&mut Noise::new(seed)))
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
fn dropout_masks_follow_the_noise() {
    let network = awake();
    assert_eq!(run_training(&network, 5), run_training(&network, 5));
    assert_ne!(run_training(&network, 5), run_training(&network, 6));
    assert_ne!(run_training(&network, 5), run(&network, &input()));
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
fn a_twin_is_equal_and_independent() {
    let network = awake();
    let twin = network.twin();
    let before = run(&network, &input());
    assert_eq!(run(twin.as_ref(), &input()), before);
    tch::no_grad(|| {
        for entry in network.parameters().trained() {
            let _ = entry.tensor.shallow_clone().zero_();
        }
    });
    assert_eq!(largest(&run(&network, &input())), 0.0);
    assert_eq!(run(twin.as_ref(), &input()), before);
}

#[test]
fn gradients_reach_every_parameter() {
    let network = awake();
    run(&network, &input()).square().sum(Kind::Float).backward();
    for entry in network.parameters().trained() {
        let grad = entry.tensor.grad();
        assert!(grad.defined() && largest(&grad) > 0.0, "no gradient reaches `{}`", entry.name);
    }
}

#[test]
fn the_gradient_has_a_gradient() {
    let network = awake();
    let Input { x, c_noise, cond } = input();
    let x = x.set_requires_grad(true);
    let out = network.forward(&x, &c_noise, &cond, None).square().sum(Kind::Float);
    let grad = Tensor::run_backward(&[out], &[&x], true, true).remove(0);
    grad.square().sum(Kind::Float).backward();
    let qkv = network.parameters().get("model.dec.4x4_in0.qkv.weight").unwrap();
    assert!(largest(&qkv.grad()) > 0.0);
}

#[test]
fn recomputing_gives_the_same_gradients_from_the_same_masks() {
    let network = awake(); // has dropout
    let Input { x, c_noise, cond } = input();
    let gradients = |recompute: bool| {
        network.recompute(recompute);
        let x = x.detach().copy().set_requires_grad(true);
        let mut masks = Noise::new(9);
        let out = network.forward(&x, &c_noise, &cond, Some(&mut masks));
        network.parameters().trained().for_each(|entry| entry.tensor.shallow_clone().zero_grad());
        out.square().sum(Kind::Float).backward();
        let weights = network.parameters().trained().map(|entry| entry.tensor.grad().copy());
        let all: Vec<Tensor> = weights.chain([x.grad().copy(), out.detach()]).collect();
        (all, masks.state())
    };
    let ((kept, one), (again, other)) = (gradients(false), gradients(true));
    assert!(kept.iter().all(|grad| largest(grad) > 0.0), "a zero gradient proves nothing");
    let off = kept.iter().zip(&again).map(|(a, b)| largest(&(a - b)) / largest(a));
    assert!(off.fold(0.0, f64::max) < 1e-5); // sums over several users of a tensor run in another order
    assert_eq!(one, other);
    let frozen = network.twin();
    frozen.parameters().set_requires_grad(false);
    assert!(!frozen.forward(&x, &c_noise, &cond, None).requires_grad());
}

#[test]
fn a_prepared_network_answers_the_same_and_sees_new_weights() {
    let config = SongUnetConfig { model_channels: 16, dropout: 0.0, ..config() };
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let other = SongUnet::new(&config, &mut Noise::new(2), Device::Cpu).unwrap();
    let _no_grad = tch::no_grad_guard();
    for network in [&network, &other] {
        network.parameters().trained().for_each(|entry| {
            let _ = entry.tensor.shallow_clone().g_add_scalar_(0.01);
        });
    }
    let [before, others] = [&network, &other].map(|network| run(network, &input()));
    network.prepare();
    assert!(run(&network, &input()).allclose(&before, 1e-4, 1e-5, false));
    network.parameters().copy_from(other.parameters()).unwrap();
    assert!(run(&network, &input()).allclose(&others, 1e-4, 1e-5, false));
    assert!(
        !others.allclose(&before, 1e-2, 1e-3, false),
        "two networks with one answer prove nothing"
    );
}

#[test]
fn taps_show_every_layer_in_order() {
    let Input { x, c_noise, cond } = input();
    let mut names = Vec::new();
    let _ = network()
        .forward_tapped(&x, &c_noise, &cond, None, &mut |name, _| names.push(name.to_owned()));
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
