//! `feat_*`: frozen feature networks with weights by formula.

use super::Replayed;
use crate::Result;
use backbones::{
    DeitBaseDistilled, DinoV2, DinoV2Config, EfficientNetLite0, Inception, Vgg16, Vgg16Variant,
};
use diffusion_core::Parameters;
use std::f64::consts::SQRT_2;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};

/// Where the files keep whole maps: larger ones lose their last channels.
const LARGEST_MAP: i64 = 8;

pub(super) fn replay_inception(case: &GoldenCase) -> Result<Replayed> {
    let network = Inception::zeroed(Device::Cpu);
    formula::fill(network.parameters(), "");
    scale_matrices(network.parameters(), SQRT_2);
    let _no_grad = tch::no_grad_guard();
    let x = case.tensor("in.x")?.upsample_bilinear2d([299, 299], false, None, None);
    let blocks = network.blocks(&(x * 2.0 - 1.0));
    let mean = |x: &Tensor| x.mean_dim([2, 3].as_slice(), false, Kind::Float);
    Ok(Replayed::from([
        ("out.pool3", blocks.pool.shallow_clone()),
        ("out.block0_mean", mean(&blocks.stem)),
        ("out.block1_mean", mean(&blocks.second)),
        ("out.block2_mean", mean(&blocks.middle)),
    ]))
}

fn scale_matrices(parameters: &Parameters, factor: f64) {
    let _no_grad = tch::no_grad_guard();
    for entry in parameters.iter().filter(|entry| entry.tensor.dim() > 1) {
        let scaled = entry.tensor.to_kind(Kind::Double) * factor;
        entry.tensor.shallow_clone().copy_(&scaled);
    }
}

pub(super) fn replay_vgg16_bn(case: &GoldenCase) -> Result<Replayed> {
    let network = Vgg16::zeroed(Vgg16Variant::BatchNorm, Device::Cpu);
    formula::fill(network.parameters(), "");
    let x = case.tensor("in.x")?;
    let stages = tch::no_grad(|| network.stages(x));
    let taps = stages[1..].iter().enumerate();
    Ok(taps.fold(Replayed::default(), |mut replayed, (tap, map)| {
        replayed.insert(format!("out.tap{tap}"), kept(map, 32));
        replayed
    }))
}

pub(super) fn replay_efficientnet(case: &GoldenCase) -> Result<Replayed> {
    let network = EfficientNetLite0::zeroed(Device::Cpu);
    formula::fill(network.parameters(), "");
    let _no_grad = tch::no_grad_guard();
    let x = case.tensor("in.x")?;
    let mut replayed = Replayed::from([
        ("out.stem", kept(&network.stem(x), 24)),
        ("out.logits", network.logits(x)),
    ]);
    for (stage, map) in network.stages(x).iter().enumerate() {
        replayed.insert(format!("out.blocks{stage}"), kept(map, 24));
    }
    Ok(replayed)
}

fn kept(map: &Tensor, channels: i64) -> Tensor {
    if map.size()[2] > LARGEST_MAP {
        map.narrow(1, 0, channels.min(map.size()[1]))
    } else {
        map.shallow_clone()
    }
}

/// The blocks that the files hold.
const BLOCKS: [usize; 4] = [2, 5, 8, 11];

pub(super) fn replay_deit(case: &GoldenCase) -> Result<Replayed> {
    let x = case.tensor("in.x")?;
    let network = DeitBaseDistilled::zeroed(x.size()[2], Device::Cpu);
    formula::fill(network.parameters(), "");
    let _no_grad = tch::no_grad_guard();
    let mut replayed = Replayed::from([("out.logits", network.logits(x))]);
    insert_blocks(&mut replayed, &network.blocks(x, &BLOCKS));
    Ok(replayed)
}

pub(super) fn replay_dinov2(case: &GoldenCase) -> Result<Replayed> {
    let img_size = case.config()["img_size"].as_i64().unwrap_or(518);
    let config = DinoV2Config { img_size, ..DinoV2Config::default() };
    let network = DinoV2::zeroed(&config, Device::Cpu);
    formula::fill(network.parameters(), "");
    let _no_grad = tch::no_grad_guard();
    let x = case.tensor("in.x")?;
    let features = network.forward(x, &BLOCKS);
    let mut replayed = Replayed::from([
        ("out.cls", features.class),
        ("out.patchtokens", features.patches),
        ("mid.pos_embed", network.positions(x)),
    ]);
    insert_blocks(&mut replayed, &features.blocks);
    Ok(replayed)
}

fn insert_blocks(replayed: &mut Replayed, outputs: &[Tensor]) {
    for (block, output) in BLOCKS.iter().zip(outputs) {
        replayed.insert(format!("out.block{block}"), output.shallow_clone());
    }
}
