//! The small network that several benches run, and the names of sizes.

use fewstep::diffusion_schedule::Edm;
use fewstep::prelude::*;
use fewstep::tch::Cuda;

/// The quickstart's network: so small that the overhead of launching operations counts, not their arithmetic.
pub(crate) fn tiny() -> SongUnetConfig {
    SongUnetConfig {
        img_resolution: 16,
        label_dim: 12,
        model_channels: 16,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![8],
        dropout: 0.0,
        ..SongUnetConfig::default()
    }
}

/// A network of that configuration with weights from a fixed seed.
pub(crate) fn build(config: &SongUnetConfig, device: Device) -> Network {
    let model = ModelConfig {
        architecture: unet::Architecture::SongUnet(config.clone()),
        preconditioning: Preconditioning::Edm(Edm::default()),
        sampler: None,
    };
    model.build(&mut Noise::new(0).stream("weights"), device).expect("the configuration is valid")
}

/// The part of an id that names the sizes, such as `16x16/c16/b2`.
pub(crate) fn size(config: &SongUnetConfig, batch: i64) -> String {
    let SongUnetConfig { img_resolution: side, model_channels: channels, .. } = config;
    format!("{side}x{side}/c{channels}/b{batch}")
}

/// One class label per image, in turn; nothing for a network without classes.
pub(crate) fn classes(config: &SongUnetConfig, batch: i64, device: Device) -> Cond {
    let labels: Vec<i64> = (0..batch).map(|i| i % config.label_dim.max(1)).collect();
    Cond::classes(&labels, config.label_dim, device)
        .expect("labels are below the number of classes")
}

/// Waits until the device has done all it was asked to do.
pub(crate) fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}
