//! What a student with a gradient branch does, apart from its exact values and the laws of all networks.

use diffusion_core::{Backbone, Cond, Noise};
use tch::{Device, Kind, Tensor};
use unet::{GuidedUnet, GuidedUnetConfig, ShiftUnet, ShiftUnetConfig};

fn config() -> ShiftUnetConfig {
    ShiftUnetConfig {
        base_channel: 32,
        channel_multiplier: vec![1, 2],
        num_residual_blocks_of_a_block: 1,
        num_heads: 2,
        latent_dim: 5,
        dropout: 0.3,
        ..ShiftUnetConfig::default()
    }
}

fn awake() -> ShiftUnet {
    let network = ShiftUnet::zeroed(&config(), Device::Cpu).unwrap();
    testkit::formula::fill(network.parameters(), "");
    network
}

struct Input {
    x: Tensor,
    c_noise: Tensor,
    z: Tensor,
}

fn input() -> Input {
    let mut noise = Noise::new(3);
    let (x, c_noise) = (noise.normal(&[2, 3, 8, 8]), noise.normal(&[2]) * 100.0);
    Input { x, c_noise, z: noise.normal(&[2, 5]) }
}

fn pair(
    network: &ShiftUnet,
    Input { x, c_noise, z }: &Input,
    seed: Option<u64>,
) -> (Tensor, Tensor) {
    network.forward_with_gradient(x, c_noise, z, seed.map(Noise::new).as_mut())
}

#[test]
fn the_first_of_the_pair_is_the_students_answer_whatever_the_code() {
    let (network, mut input) = (awake(), input());
    let (prediction, gradient) = pair(&network, &input, None);
    let alone = network.forward(&input.x, &input.c_noise, &Cond::none(), None);
    assert_eq!(prediction, alone);
    input.z = input.z.neg();
    let (again, other) = pair(&network, &input, None);
    assert_eq!(again, alone);
    assert_ne!(other, gradient);
}

#[test]
fn a_fresh_branch_shifts_nothing() {
    let network = ShiftUnet::new(&config(), &mut Noise::new(1), Device::Cpu).unwrap();
    let (_, gradient) = pair(&network, &input(), None);
    assert_eq!(gradient, input().x.zeros_like());
}

#[test]
fn dropout_is_for_the_branch_alone() {
    let (network, input) = (awake(), input());
    let (prediction, gradient) = pair(&network, &input, None);
    let (trained, masked) = pair(&network, &input, Some(7));
    assert_eq!(trained, prediction);
    assert_ne!(masked, gradient);
    assert_eq!(masked, pair(&network, &input, Some(7)).1);
}

#[test]
fn the_branch_is_trained_and_the_student_frozen() {
    let (network, input) = (awake(), input());
    for entry in network.student() {
        let _ = entry.tensor.set_requires_grad(false);
    }
    let z = input.z.copy().set_requires_grad(true);
    let pair = network.forward_with_gradient(&input.x, &input.c_noise, &z, None);
    assert!(!pair.0.requires_grad());
    pair.1.square().sum(Kind::Float).backward();
    for entry in network.branch() {
        assert!(entry.tensor.grad().abs().max().double_value(&[]) > 0.0, "{}", entry.name);
    }
    assert!(network.student().all(|entry| !entry.tensor.grad().defined()));
    assert!(z.grad().abs().max().double_value(&[]) > 0.0);
}

#[test]
fn the_split_is_that_of_the_patterns() {
    let network = awake();
    let (student, branch) = (network.student().count(), network.branch().count());
    assert_eq!(student + branch, network.parameters().iter().count());
    let fits = |name: &str| {
        ShiftUnet::STUDENT.iter().any(|glob| name.starts_with(glob.strip_suffix('*').unwrap()))
    };
    assert!(network.student().all(|entry| fits(&entry.name)));
    assert!(network.branch().all(|entry| !fits(&entry.name)));
    assert!(network.branch().any(|entry| entry.name == "label_emb.weight"));
}

#[test]
fn a_student_that_was_trained_alone_is_taken_over() {
    let (network, input) = (awake(), input());
    let student = GuidedUnet::zeroed(&config().student(8), Device::Cpu).unwrap();
    testkit::formula::fill(student.parameters(), "student.");
    let (_, gradient) = pair(&network, &input, None);
    network.copy_student(student.parameters()).unwrap();
    let expected = student.forward(&input.x, &input.c_noise, &Cond::none(), None);
    let (prediction, shifted) = pair(&network, &input, None);
    assert_eq!(prediction, expected);
    assert_ne!(shifted, gradient); // the branch reads the new encoder

    for (other, tensor) in [
        (GuidedUnetConfig { model_channels: 64, ..config().student(8) }, "time_embed.0.weight"),
        (GuidedUnetConfig { num_classes: Some(10), ..config().student(8) }, "label_emb.weight"),
    ] {
        let other = GuidedUnet::zeroed(&other, Device::Cpu).unwrap();
        let error = network.copy_student(other.parameters()).unwrap_err();
        assert!(error.to_string().contains(tensor), "{error}");
        assert_eq!(pair(&network, &input, None).0, expected);
    }
}

#[test]
fn recomputing_gives_the_branch_the_same_gradients() {
    let (network, input) = (awake(), input());
    let gradients = |recompute| {
        network.recompute(recompute);
        for entry in network.branch() {
            entry.tensor.shallow_clone().zero_grad();
        }
        pair(&network, &input, Some(9)).1.square().sum(Kind::Float).backward();
        network.branch().map(|entry| entry.tensor.grad().copy()).collect::<Vec<_>>()
    };
    for (kept, again) in gradients(false).iter().zip(&gradients(true)) {
        let error = (kept - again).abs().max().double_value(&[]);
        assert!(error <= 1e-5 * kept.abs().max().double_value(&[]), "{error}");
    }
}

#[test]
fn preparing_changes_no_answer() {
    let _no_grad = tch::no_grad_guard();
    let (network, input) = (awake(), input());
    let before = pair(&network, &input, None);
    network.prepare();
    let after = pair(&network, &input, None);
    assert!(after.0.allclose(&before.0, 1e-4, 1e-5, false));
    assert!(after.1.allclose(&before.1, 1e-4, 1e-5, false));
}

#[test]
#[should_panic(expected = "`z` has shape [2, 4]; this network needs [2, 5]")]
fn codes_of_another_width_are_refused() {
    let z = Noise::new(1).normal(&[2, 4]);
    let _ = pair(&awake(), &Input { z, ..input() }, None);
}

#[test]
#[should_panic(expected = "needs [B, 3, H, W] with multiples of 2")]
fn images_that_cannot_be_halved_are_refused() {
    let x = Noise::new(1).normal(&[2, 3, 8, 7]);
    let _ = pair(&awake(), &Input { x, ..input() }, None);
}
