//! Networks for benches.

use fewstep::diffusion_schedule::Edm;
use fewstep::prelude::*;

/// A network of that configuration with weights from a fixed seed.
pub(crate) fn build(config: &SongUnetConfig, device: Device) -> Network {
    let model = ModelConfig {
        architecture: unet::Architecture::SongUnet(config.clone()),
        preconditioning: Preconditioning::Edm(Edm::default()),
        sampler: None,
    };
    model.build(&mut Noise::new(0).stream("weights"), device).expect("the configuration is valid")
}
