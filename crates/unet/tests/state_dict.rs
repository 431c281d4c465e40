//! Names, shapes and order of the parameters against the official state dicts.

use diffusion_core::Backbone;
use tch::Device;
use unet::{SongUnet, SongUnetConfig};

/// One line a tensor, `name [shape] float32`, as in the lists of `state_dicts/`.
fn state_dict(network: &SongUnet) -> Vec<String> {
    let line = |entry: &diffusion_core::Parameter| {
        assert_eq!(entry.tensor.kind(), tch::Kind::Float);
        format!("{} {:?} float32", entry.name, entry.tensor.size())
    };
    network.parameters().iter().map(line).collect()
}

fn check(config: SongUnetConfig, list: &str, parameters: usize) {
    let network = SongUnet::zeroed(&config, Device::Cpu).unwrap();
    let (found, expected) = (state_dict(&network), list.lines().collect::<Vec<_>>());
    for (position, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "line {}", position + 1);
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(network.parameters().count(), parameters);
}

#[test]
fn cifar10_unconditional() {
    let list = include_str!("state_dicts/edm_ddpmpp_cifar_uncond.txt");
    check(SongUnetConfig::cifar10(0), list, 55_733_891);
}

#[test]
fn cifar10_with_classes() {
    let list = include_str!("state_dicts/edm_ddpmpp_cifar_cond.txt");
    check(SongUnetConfig::cifar10(10), list, 55_735_299);
}

#[test]
fn images_of_64_pixels() {
    check(SongUnetConfig::ffhq64(), include_str!("state_dicts/edm_ddpmpp_64.txt"), 61_805_571);
}
