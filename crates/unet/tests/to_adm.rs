//! guided-diffusion's network and EDM's answer alike with the same weights.

use diffusion_core::{Backbone, Cond, Noise};
use tch::{Device, Kind, Tensor};
use unet::{Error, GuidedFlavor, GuidedUnet, GuidedUnetConfig};

fn config() -> GuidedUnetConfig {
    GuidedUnetConfig {
        image_size: 8,
        model_channels: 128,
        out_channels: 6,
        num_res_blocks: 1,
        attention_resolutions: vec![2, 3],
        channel_mult: vec![1.0, 2.0],
        num_classes: Some(3),
        num_head_channels: 64,
        use_scale_shift_norm: true,
        resblock_updown: true,
        ..GuidedUnetConfig::default()
    }
}

#[track_caller]
fn check(config: &GuidedUnetConfig) {
    let network = GuidedUnet::zeroed(config, Device::Cpu).unwrap();
    testkit::formula::fill(network.parameters(), "");
    let adm = network.to_adm().unwrap();
    assert_eq!(adm.parameters().count(), network.parameters().count());
    let mut noise = Noise::new(3);
    let (x, c_noise) = (noise.normal(&[2, 3, 8, 8]), Tensor::from_slice(&[3.5f32, 700.0]));
    let cond = Cond::classes(&[0, 2], 3, Device::Cpu).unwrap();
    let answer = |network: &dyn Backbone| {
        let x = x.copy().set_requires_grad(true);
        let out = network.forward(&x, &c_noise, &cond, None);
        out.square().sum(Kind::Float).backward();
        [out.detach(), x.grad()]
    };
    for (own, adm) in answer(&network).iter().zip(&answer(&adm)) {
        assert_eq!(adm.size(), own.size());
        let error = testkit::max_relative_error(adm, own);
        assert!(error < 5e-6, "{error:.1e}");
    }
}

#[test]
fn the_legacy_order_of_attention() {
    check(&config());
}

#[test]
fn the_new_order_of_attention() {
    check(&GuidedUnetConfig { use_new_attention_order: true, ..config() });
}

#[test]
fn consistency_models_without_classes() {
    let flavor = GuidedFlavor::ConsistencyModels;
    let num_classes = None;
    check(&GuidedUnetConfig { flavor, num_classes, out_channels: 3, ..config() });
}

#[test]
fn other_networks_are_refused() {
    let field = |change: fn(&mut GuidedUnetConfig)| {
        let mut config = config();
        change(&mut config);
        match config.to_adm().unwrap_err() {
            Error::Unsupported { field, .. } | Error::OutOfRange { field, .. } => field,
            other => panic!("{other}"),
        }
    };
    assert_eq!(field(|c| c.use_scale_shift_norm = false), "use_scale_shift_norm");
    assert_eq!(field(|c| c.resblock_updown = false), "resblock_updown");
    assert_eq!(field(|c| c.timestep_scale = 1000.0), "timestep_scale");
    assert_eq!(field(|c| c.channel_mult = vec![1.0, 1.5]), "channel_mult");
    assert_eq!(field(|c| c.model_channels = 64), "model_channels");
    assert_eq!(field(|c| c.num_head_channels = 32), "num_head_channels");
    assert_eq!(field(|c| (c.num_head_channels, c.num_heads) = (-1, 1)), "num_head_channels");
    assert_eq!(field(|c| c.image_size = 0), "image_size");
}
