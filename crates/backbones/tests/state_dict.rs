//! Names, shapes and order of the tensors against the published files.

use backbones::{
    DeitBaseDistilled, DinoV2, DinoV2Config, EfficientNetLite0, Inception, Vgg16, Vgg16Variant,
};
use diffusion_core::Parameters;
use tch::Device;

fn check(parameters: &Parameters, list: &str) {
    let found: Vec<String> = (parameters.iter())
        .map(|entry| format!("{} {:?} float32", entry.name, entry.tensor.size()))
        .collect();
    let counters = |line: &&str| !line.contains("num_batches_tracked");
    let expected: Vec<_> = list.lines().filter(counters).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn inception() {
    let network = Inception::zeroed(Device::Cpu);
    check(network.parameters(), include_str!("state_dicts/inception_fid_checkpoint.txt"));
}

#[test]
fn vgg16_bn() {
    let network = Vgg16::zeroed(Vgg16Variant::BatchNorm, Device::Cpu);
    check(network.parameters(), include_str!("state_dicts/torchvision_vgg16_bn.txt"));
}

#[test]
fn efficientnet_lite0() {
    let network = EfficientNetLite0::zeroed(Device::Cpu);
    check(network.parameters(), include_str!("state_dicts/timm_tf_efficientnet_lite0.txt"));
}

#[test]
fn deit() {
    let list = include_str!("state_dicts/timm_deit_base_distilled_patch16_224.txt");
    check(DeitBaseDistilled::zeroed(224, Device::Cpu).parameters(), list);
}

#[test]
fn dinov2() {
    let network = DinoV2::zeroed(&DinoV2Config::default(), Device::Cpu);
    check(network.parameters(), include_str!("state_dicts/dinov2_vits14.txt"));
}
