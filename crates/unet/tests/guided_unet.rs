//! What a U-Net of guided-diffusion does, apart from its exact values and the laws of all networks.

use diffusion_core::{Backbone, Cond, FeatureTaps, Noise};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use unet::{Error, GuidedFlavor, GuidedUnet, GuidedUnetConfig};

fn config() -> GuidedUnetConfig {
    GuidedUnetConfig {
        image_size: 8,
        model_channels: 32,
        num_res_blocks: 1,
        attention_resolutions: vec![2],
        channel_mult: vec![1.0, 2.0],
        num_classes: Some(3),
        num_heads: 2,
        ..GuidedUnetConfig::default()
    }
}

fn build(config: &GuidedUnetConfig) -> GuidedUnet {
    GuidedUnet::new(config, &mut Noise::new(1), Device::Cpu).unwrap()
}

/// Fresh weights with every tensor moved away from its start, so that no branch is silent.
fn awake(config: &GuidedUnetConfig) -> GuidedUnet {
    let network = build(config);
    testkit::formula::fill(network.parameters(), "");
    network
}

fn x() -> Tensor {
    Noise::new(3).normal(&[2, 3, 8, 8])
}

fn run(network: &GuidedUnet, c_noise: &[f32], cond: &Cond) -> Tensor {
    tch::no_grad(|| network.forward(&x(), &Tensor::from_slice(c_noise), cond, None))
}

fn classes(labels: &[i64]) -> Cond {
    Cond::classes(labels, 3, Device::Cpu).unwrap()
}

#[test]
fn a_fresh_network_answers_with_nothing() {
    let found = run(&build(&config()), &[1.0, 2.0], &classes(&[0, 2]));
    assert_eq!(found, x().zeros_like());
}

#[test]
fn a_class_moves_the_embedding_by_its_row() {
    let network = awake(&config());
    let labels = run(&network, &[1.0, 2.0], &classes(&[0, 2]));
    assert_ne!(run(&network, &[1.0, 2.0], &classes(&[1, 2])).get(0), labels.get(0));
    let mut none = Cond::none();
    none.labels = Some(Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)));
    let unlabeled = awake(&GuidedUnetConfig { num_classes: None, ..config() });
    assert_eq!(run(&network, &[1.0, 2.0], &none), run(&unlabeled, &[1.0, 2.0], &classes(&[0, 1])));
}

#[test]
#[should_panic(expected = "the condition has no `labels`; this network needs [2, 3]")]
fn a_network_with_classes_needs_labels() {
    let _ = run(&build(&config()), &[1.0, 2.0], &Cond::none());
}

#[test]
#[should_panic(expected = "`labels` of the condition have shape [2, 4]; this network needs [2, 3]")]
fn labels_of_another_width_are_refused() {
    let cond = Cond::classes(&[0, 1], 4, Device::Cpu).unwrap();
    let _ = run(&build(&config()), &[1.0, 2.0], &cond);
}

#[test]
#[should_panic(expected = "this network needs [B, 3, 16, 16]")]
fn images_of_another_size_are_refused() {
    let network = build(&GuidedUnetConfig { image_size: 16, ..config() });
    let _ = run(&network, &[1.0, 2.0], &classes(&[0, 1]));
}

#[test]
fn the_noise_argument_is_scaled() {
    let scaled = awake(&GuidedUnetConfig { timestep_scale: 8.0, ..config() });
    let cond = classes(&[0, 1]);
    assert_eq!(run(&scaled, &[0.5, -3.0], &cond), run(&awake(&config()), &[4.0, -24.0], &cond));
}

/// With one head all orders are the same, with more they are not.
#[test]
fn the_order_of_attention_matters_from_two_heads_on() {
    let answer = |num_heads, use_new_attention_order, flavor| {
        let config = GuidedUnetConfig { num_heads, use_new_attention_order, flavor, ..config() };
        run(&awake(&config), &[1.0, 2.0], &classes(&[0, 1]))
    };
    let of = GuidedFlavor::GuidedDiffusion;
    assert_eq!(answer(1, true, of), answer(1, false, of));
    assert_ne!(answer(2, true, of), answer(2, false, of));
    let consistency = answer(2, false, GuidedFlavor::ConsistencyModels);
    assert_eq!(consistency, answer(2, true, of));
}

#[test]
fn without_convolutions_resampling_has_no_weights() {
    let names = |conv_resample| {
        let network = build(&GuidedUnetConfig { conv_resample, ..config() });
        assert_eq!(run(&network, &[1.0, 2.0], &classes(&[0, 1])).size(), [2, 3, 8, 8]);
        let names = network.parameters().iter().map(|entry| entry.name.clone());
        names.filter(|name| name.contains(".op.") || name.contains(".conv.")).collect::<Vec<_>>()
    };
    let convolutions = ["input_blocks.2.0.op", "output_blocks.1.2.conv"];
    let expected: Vec<_> =
        convolutions.iter().flat_map(|n| ["weight", "bias"].map(|p| format!("{n}.{p}"))).collect();
    assert_eq!(names(true), expected);
    assert!(names(false).is_empty());
}

#[test]
fn the_decoder_may_have_heads_of_its_own() {
    let heads = |num_heads_upsample| {
        let network = build(&GuidedUnetConfig { num_heads_upsample, ..config() });
        let sites = diffusion_core::AttentionTaps::attention_sites(&network).to_vec();
        sites.into_iter().map(|site| (site.name, site.heads)).collect::<Vec<_>>()
    };
    let named = |names: [(&str, i64); 4]| names.map(|(name, heads)| (name.to_owned(), heads));
    let places = ["input_blocks.3.1", "middle_block.1", "output_blocks.0.1", "output_blocks.1.1"];
    let with = |of: [i64; 4]| named([0, 1, 2, 3].map(|i| (places[i], of[i])));
    assert_eq!(heads(-1), with([2, 2, 2, 2]));
    assert_eq!(heads(4), with([2, 2, 4, 4]));
}

#[test]
fn taps_show_every_layer_in_order() {
    let mut names = Vec::new();
    let (network, c_noise) = (build(&config()), Tensor::from_slice(&[1f32, 2.0]));
    let _ = network.forward_tapped(&x(), &c_noise, &classes(&[0, 1]), None, &mut |site, _| {
        names.push(site.name.clone());
        ControlFlow::Continue(())
    });
    let input = (0..4).map(|idx| format!("input_blocks.{idx}"));
    let output = (0..4).map(|idx| format!("output_blocks.{idx}"));
    let expected: Vec<_> = ["time_embed".to_owned()]
        .into_iter()
        .chain(input)
        .chain(["middle_block".to_owned()])
        .chain(output)
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn the_presets_are_valid_and_of_the_published_widths() {
    let presets = [
        (GuidedUnetConfig::imagenet64(), 64),
        (GuidedUnetConfig::imagenet128(), 128),
        (GuidedUnetConfig::imagenet256(), 256),
        (GuidedUnetConfig::imagenet256_unconditional(), 256),
        (GuidedUnetConfig::imagenet512(), 512),
        (GuidedUnetConfig::lsun256(), 256),
        (GuidedUnetConfig::consistency_imagenet64(), 64),
        (GuidedUnetConfig::consistency_lsun256(), 256),
    ];
    for (config, size) in presets {
        config.validate().unwrap();
        assert_eq!(config.image_size, size);
        let attending = config.attention_resolutions.iter().map(|factor| size / factor);
        assert_eq!(attending.collect::<Vec<_>>(), [32, 16, 8]);
    }
    // a level of half the channels, and no level twice
    let [half, whole] = [vec![0.5, 1.0], vec![1.0, 1.0]].map(|channel_mult| {
        let config = GuidedUnetConfig { channel_mult, ..GuidedUnetConfig::imagenet512() };
        config.parameter_count().unwrap()
    });
    assert!(half < whole);
}

#[test]
fn a_head_that_does_not_fit_is_named_with_its_layer() {
    let config = GuidedUnetConfig { num_head_channels: 48, ..config() };
    let error = GuidedUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::IndivisibleChannels { channels: 64, parts: 48, .. }));
    let message = error.to_string();
    assert!(
        message.contains("`input_blocks.3`") && message.contains("num_head_channels"),
        "{message}"
    );
}
