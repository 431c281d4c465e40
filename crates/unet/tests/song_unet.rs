//! What a SongUNet does, apart from its exact values and the laws of all networks.

use diffusion_core::{Backbone, Cond, FeatureTaps, Noise};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use unet::{DecoderType, EncoderType, SongUnet, SongUnetConfig};

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

/// A network of two levels of the same width whose weights are zero, but for those of `weights`.
fn nearly_zero(config: SongUnetConfig, weights: &[(&str, f64)]) -> SongUnet {
    let config =
        SongUnetConfig { channel_mult: vec![1, 1], label_dim: 0, augment_dim: 0, ..config };
    let network = SongUnet::zeroed(&config, Device::Cpu).unwrap();
    for &(name, value) in weights {
        let weight = network.parameters().get(name).unwrap();
        let _ = tch::no_grad(|| weight.shallow_clone().fill_(value));
    }
    network
}

#[test]
fn skips_of_the_encoder_add_the_halved_image_to_a_level() {
    let config = SongUnetConfig { encoder_type: EncoderType::Skip, ..config() };
    let aux = "model.enc.4x4_aux_skip";
    let (weight, bias) = (&format!("{aux}.weight"), &format!("{aux}.bias"));
    let network = nearly_zero(config, &[(weight, 0.5), (bias, 0.25)]);
    let (x, c_noise) = (input().x, input().c_noise);
    let names = ["model.enc.4x4_aux_down", aux, "model.enc.4x4_block0"];
    let found = network.features(&x, &c_noise, &Cond::none(), &names).unwrap();
    let halved = x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
    let added = halved.sum_dim_intlist([1].as_slice(), true, Kind::Float) * 0.5 + 0.25;
    let added = added.expand([2, 8, 4, 4], false);
    let block = &added * 0.5; // its convolutions and its attention are silent
    for (found, expected) in found.iter().zip([halved, added, block]) {
        assert!(largest(&(found - expected)) < 1e-6);
    }
}

#[test]
fn skips_of_the_decoder_add_the_images_of_all_levels() {
    let config = SongUnetConfig {
        decoder_type: DecoderType::Skip,
        resample_filter: vec![1, 3, 3, 1],
        ..config()
    };
    let biases = [("model.dec.4x4_aux_conv.bias", 2.0), ("model.dec.8x8_aux_conv.bias", -0.5)];
    let answer = run(&nearly_zero(config, &biases), &input());
    // the filter sees zeros beyond the border: three quarters there, nine sixteenths in the corners
    for (place, expected) in [([3, 4], 1.5), ([0, 4], 1.0), ([4, 7], 1.0), ([7, 7], 0.625)] {
        assert!((answer.double_value(&[1, 2, place[0], place[1]]) - expected).abs() < 1e-6);
    }
}

#[test]
fn frequencies_come_with_the_weights() {
    let config = config().ncsnpp();
    let fresh = |seed| SongUnet::new(&config, &mut Noise::new(seed), Device::Cpu).unwrap();
    let freqs = |network: &dyn Backbone| {
        network.parameters().get("model.map_noise.freqs").unwrap().shallow_clone()
    };
    let (one, other) = (fresh(1), fresh(2));
    assert_eq!(freqs(&one).size(), [8]);
    assert_ne!(freqs(&one), freqs(&other));
    assert_eq!(freqs(&*one.twin()), freqs(&one));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ncsnpp.safetensors");
    one.parameters().save(&path, &std::collections::BTreeMap::new()).unwrap();
    other.parameters().load_file(&path).unwrap();
    assert_eq!(run(&other, &input()), run(&one, &input()));
}
