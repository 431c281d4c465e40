//! Every network, small and with inputs that fit it: the only list.

use diffusion_core::{AttentionTaps, Backbone, Cond, FeatureTaps, Noise};
use tch::{Device, Tensor};
use unet::{DecoderType, DhariwalUnet, DhariwalUnetConfig, EncoderType, SongUnet, SongUnetConfig};

/// A network of this crate.
pub(crate) trait Network: FeatureTaps + AttentionTaps {}
impl<N: FeatureTaps + AttentionTaps> Network for N {}

/// A network and something to ask it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) network: Box<dyn Network>,
    pub(crate) x: Tensor,
    pub(crate) c_noise: Tensor,
    pub(crate) cond: Cond,
}

impl Subject {
    pub(crate) fn run(&self, network: &dyn Backbone) -> Tensor {
        network.forward(&self.x, &self.c_noise, &self.cond, None)
    }

    pub(crate) fn train(&self, network: &dyn Backbone, seed: u64) -> Tensor {
        network.forward(&self.x, &self.c_noise, &self.cond, Some(&mut Noise::new(seed)))
    }
}

/// One of each.
pub(crate) fn all() -> Vec<Subject> {
    vec![ddpmpp(), ncsnpp(), input_and_output_skips(), adm()]
}

fn subject(name: &'static str, network: impl Network + 'static, x: Tensor, cond: Cond) -> Subject {
    wake(&network);
    let c_noise = Noise::new(4).normal(&[x.size()[0]]);
    Subject { name, network: Box::new(network), x, c_noise, cond }
}

/// Moves every tensor away from its start, so that no branch is silent.
fn wake(network: &impl Backbone) {
    let mut noise = Noise::new(2);
    tch::no_grad(|| {
        for entry in network.parameters().trained() {
            let mut tensor = entry.tensor.shallow_clone();
            let _ = tensor.g_add_(&(noise.normal(&entry.tensor.size()) * 0.2));
        }
    });
}

fn ddpmpp() -> Subject {
    song_unet("DDPM++", small_song_unet())
}

fn ncsnpp() -> Subject {
    song_unet("NCSN++", small_song_unet().ncsnpp())
}

fn input_and_output_skips() -> Subject {
    let (encoder_type, decoder_type) = (EncoderType::Skip, DecoderType::Skip);
    song_unet("skips", SongUnetConfig { encoder_type, decoder_type, ..small_song_unet().ncsnpp() })
}

fn small_song_unet() -> SongUnetConfig {
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

fn song_unet(name: &'static str, config: SongUnetConfig) -> Subject {
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let (x, cond) = images_of_classes();
    subject(name, network, x, cond)
}

fn adm() -> Subject {
    let config = DhariwalUnetConfig {
        img_resolution: 8,
        label_dim: 3,
        augment_dim: 9,
        model_channels: 64,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        dropout: 0.3,
        ..DhariwalUnetConfig::default()
    };
    let network = DhariwalUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let (x, cond) = images_of_classes();
    subject("ADM", network, x, cond)
}

fn images_of_classes() -> (Tensor, Cond) {
    let mut noise = Noise::new(3);
    let augment = noise.normal(&[2, 9]);
    let cond = Cond::classes(&[0, 2], 3, Device::Cpu).unwrap().with_augment(augment);
    (noise.normal(&[2, 3, 8, 8]), cond)
}
