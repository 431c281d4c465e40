//! Every network, small and with inputs that fit it: the only list.

use diffusion_core::{AttentionTaps, Backbone, Cond, FeatureTaps, Noise, Parameter};
use tch::{Device, Tensor};
use unet::{
    DecoderType, DhariwalUnet, DhariwalUnetConfig, EncoderType, GuidedFlavor, GuidedUnet,
    GuidedUnetConfig, ShiftUnet, ShiftUnetConfig, SongUnet, SongUnetConfig,
};

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
    /// Beginnings of the names of tensors that `forward` does without.
    pub(crate) unused: &'static [&'static str],
}

impl Subject {
    pub(crate) fn run(&self, network: &dyn Backbone) -> Tensor {
        network.forward(&self.x, &self.c_noise, &self.cond, None)
    }

    /// The trained tensors that `forward` uses.
    pub(crate) fn used(&self) -> impl Iterator<Item = &Parameter> {
        let is_unused = |name: &str| self.unused.iter().any(|start| name.starts_with(start));
        self.network.parameters().trained().filter(move |entry| !is_unused(&entry.name))
    }

    pub(crate) fn train(&self, network: &dyn Backbone, seed: u64) -> Tensor {
        network.forward(&self.x, &self.c_noise, &self.cond, Some(&mut Noise::new(seed)))
    }
}

/// One of each.
pub(crate) fn all() -> Vec<Subject> {
    let edm = [ddpmpp(), ncsnpp(), input_and_output_skips(), adm()];
    let guided = [guided_diffusion(), consistency_model(), shift_unet()];
    edm.into_iter().chain(guided).collect()
}

fn subject(name: &'static str, network: impl Network + 'static, x: Tensor, cond: Cond) -> Subject {
    wake(&network);
    let c_noise = Noise::new(4).normal(&[x.size()[0]]);
    Subject { name, network: Box::new(network), x, c_noise, cond, unused: &[] }
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

/// Residual blocks resample; scales and shifts; the legacy order; twice as many channels out.
fn guided_diffusion() -> Subject {
    let config = GuidedUnetConfig {
        out_channels: 6,
        num_classes: Some(3),
        num_heads: 2,
        use_scale_shift_norm: true,
        resblock_updown: true,
        ..guided_config()
    };
    let network = GuidedUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let cond = Cond::classes(&[0, 2], 3, Device::Cpu).unwrap();
    subject("guided-diffusion", network, Noise::new(3).normal(&[2, 3, 8, 8]), cond)
}

/// Convolutions resample; the embedding is added; the new order.
fn consistency_model() -> Subject {
    let config = GuidedUnetConfig {
        num_head_channels: 16,
        flavor: GuidedFlavor::ConsistencyModels,
        timestep_scale: 10.0,
        ..guided_config()
    };
    let network = GuidedUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let x = Noise::new(3).normal(&[2, 3, 8, 8]);
    subject("consistency model", network, x, Cond::none())
}

fn guided_config() -> GuidedUnetConfig {
    GuidedUnetConfig {
        image_size: 8,
        model_channels: 32,
        num_res_blocks: 1,
        attention_resolutions: vec![2],
        dropout: 0.3,
        channel_mult: vec![2.0, 3.0], // one channel in a group would lose the bias before it
        ..GuidedUnetConfig::default()
    }
}

/// The student; its gradient branch is evaluated by a method of its own.
fn shift_unet() -> Subject {
    let config = ShiftUnetConfig {
        base_channel: 32,
        channel_multiplier: vec![2, 3],
        num_residual_blocks_of_a_block: 1,
        latent_dim: 5,
        dropout: 0.3,
        ..ShiftUnetConfig::default()
    };
    let network = ShiftUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let x = Noise::new(3).normal(&[2, 3, 8, 8]);
    let subject = subject("shift U-Net", network, x, Cond::none());
    Subject { unused: &["label_emb.", "shift_"], ..subject }
}
