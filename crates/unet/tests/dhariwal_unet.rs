//! What a `DhariwalUNet` does, apart from its exact values and the laws of all networks.

use diffusion_core::{AttentionTaps, Backbone, Cond, Noise};
use tch::{Device, Kind, Tensor};
use unet::{DhariwalUnet, DhariwalUnetConfig};

fn config() -> DhariwalUnetConfig {
    DhariwalUnetConfig {
        img_resolution: 8,
        label_dim: 3,
        augment_dim: 9,
        model_channels: 64,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![8, 4],
        dropout: 0.0,
        ..DhariwalUnetConfig::default()
    }
}

fn network(config: &DhariwalUnetConfig) -> DhariwalUnet {
    DhariwalUnet::new(config, &mut Noise::new(1), Device::Cpu).unwrap()
}

/// Fresh weights with every tensor moved away from its start, so that no branch is silent.
fn awake(config: &DhariwalUnetConfig) -> DhariwalUnet {
    let network = network(config);
    let mut noise = Noise::new(2);
    tch::no_grad(|| {
        for entry in network.parameters().trained() {
            let mut tensor = entry.tensor.shallow_clone();
            let _ = tensor.g_add_(&(noise.normal(&entry.tensor.size()) * 0.05));
        }
    });
    network
}

fn run(network: &DhariwalUnet, cond: &Cond, masks: Option<&mut Noise>) -> Tensor {
    let resolution = network.config().img_resolution;
    let (x, c_noise) =
        (Noise::new(3).normal(&[2, 3, resolution, resolution]), Noise::new(4).normal(&[2]));
    network.forward(&x, &c_noise, cond, masks)
}

fn classes() -> Cond {
    Cond::classes(&[0, 2], 3, Device::Cpu).unwrap()
}

#[test]
fn a_fresh_network_answers_with_nothing() {
    assert_eq!(run(&network(&config()), &classes(), None).abs().max().double_value(&[]), 0.0);
}

#[test]
fn classes_start_as_standard_normal_vectors() {
    let network = network(&DhariwalUnetConfig { label_dim: 100, ..config() });
    let table = network.parameters().get("model.map_label.weight").unwrap();
    assert_eq!(table.size(), [256, 100]);
    let std = table.std(true).double_value(&[]);
    assert!((std - 1.0).abs() < 0.02, "{std}");
    assert!(network.parameters().get("model.map_label.bias").is_none());
}

#[test]
fn missing_labels_count_as_zeros() {
    let network = awake(&config());
    let zeros = |width| Tensor::zeros([2, width], (Kind::Float, Device::Cpu));
    let mut cond = Cond::none().with_augment(zeros(9));
    cond.labels = Some(zeros(3));
    let expected = run(&network, &cond, None);
    assert_eq!(run(&network, &Cond::none(), None), expected);
    assert_ne!(run(&network, &classes(), None), expected);
    let augmented = Cond::none().with_augment(Noise::new(5).normal(&[2, 9]));
    assert_ne!(run(&network, &augmented, None), expected);
}

#[test]
fn label_dropout_hides_classes_in_training_only() {
    let network = awake(&DhariwalUnetConfig { label_dropout: 0.999_999, ..config() });
    let hidden = run(&network, &Cond::none(), None);
    assert_eq!(run(&network, &classes(), Some(&mut Noise::new(5))), hidden);
    assert_ne!(run(&network, &classes(), None), hidden);
}

#[test]
fn heads_have_64_channels_and_every_block_of_a_level_attends() {
    let sites = |config: &DhariwalUnetConfig| -> Vec<(String, i64)> {
        let network = network(config);
        let sites = network.attention_sites().iter();
        sites.map(|site| (site.name.replace("model.", ""), site.heads)).collect()
    };
    let expected = [
        ("enc.8x8_block0", 1),
        ("enc.4x4_block0", 2),
        ("dec.4x4_in0", 2),
        ("dec.4x4_block0", 2),
        ("dec.4x4_block1", 2),
        ("dec.8x8_block0", 1),
        ("dec.8x8_block1", 1),
    ];
    assert_eq!(sites(&config()), expected.map(|(name, heads)| (name.to_owned(), heads)));
    let narrow = DhariwalUnetConfig { model_channels: 32, ..config() };
    let expected = ["enc.4x4_block0", "dec.4x4_in0", "dec.4x4_block0", "dec.4x4_block1"];
    assert_eq!(sites(&narrow), expected.map(|name| (name.to_owned(), 1)));
}

#[test]
fn learned_variance_doubles_the_channels() {
    let config = config().with_learned_variance();
    assert_eq!(run(&awake(&config), &classes(), None).size(), [2, 6, 8, 8]);
    let json = serde_json::to_string(&config).unwrap();
    assert!(json.contains(r#""out_channels":6"#), "{json}");
    assert_eq!(serde_json::from_str::<DhariwalUnetConfig>(&json).unwrap(), config);
}

#[test]
#[should_panic(
    expected = "`augment` of the condition have shape [2, 8]; this network needs [2, 9]"
)]
fn augmentation_labels_of_another_width_are_refused() {
    let _ =
        run(&network(&config()), &Cond::none().with_augment(Noise::new(5).normal(&[2, 8])), None);
}
