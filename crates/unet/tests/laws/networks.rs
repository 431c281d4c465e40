//! Every network, small and with inputs that fit it: the only list.

use diffusion_core::{AttentionTaps, Backbone, Cond, FeatureTaps, Noise, Parameter};
use tch::{Device, Tensor};
use unet::{
    DecoderType, DhariwalUnet, DhariwalUnetConfig, EncoderType, GuidedFlavor, GuidedUnet,
    GuidedUnetConfig, PerBlock, ShiftUnet, ShiftUnetConfig, SongUnet, SongUnetConfig,
    TimeScaleShift, Unet2d, Unet2dCondition, Unet2dConditionConfig, Unet2dConfig,
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
    let diffusers = [unet_2d(), unet_2d_scale_shift(), unet_2d_condition(), sdxl()];
    edm.into_iter().chain(guided).chain(diffusers).collect()
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

fn unet_2d() -> Subject {
    let config = Unet2dConfig {
        block_out_channels: vec![8, 16],
        down_block_types: ["DownBlock2D", "AttnDownBlock2D"].map(Into::into).into(),
        up_block_types: ["AttnUpBlock2D", "UpBlock2D"].map(Into::into).into(),
        layers_per_block: 1,
        norm_num_groups: 4,
        dropout: 0.3,
        ..Unet2dConfig::ddpm_cifar10()
    };
    let network = Unet2d::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    subject("UNet2DModel", network, Noise::new(3).normal(&[2, 3, 8, 8]), Cond::none())
}

fn unet_2d_scale_shift() -> Subject {
    let config = Unet2dConfig {
        block_out_channels: vec![8, 16],
        down_block_types: ["AttnDownBlock2D", "DownBlock2D"].map(Into::into).into(),
        up_block_types: ["UpBlock2D", "AttnUpBlock2D"].map(Into::into).into(),
        layers_per_block: 1,
        norm_num_groups: 4,
        attention_head_dim: Some(4),
        mid_block_scale_factor: 1.5,
        resnet_time_scale_shift: TimeScaleShift::ScaleShift,
        num_class_embeds: Some(2),
        center_input_sample: true,
        dropout: 0.3,
        ..Unet2dConfig::default()
    };
    let network = Unet2d::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let cond = Cond::classes(&[0, 1], 2, Device::Cpu).unwrap();
    subject("UNet2DModel, scale and shift", network, Noise::new(3).normal(&[2, 3, 8, 8]), cond)
}

fn unet_2d_condition() -> Subject {
    let config = Unet2dConditionConfig {
        block_out_channels: vec![8, 16],
        down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"].map(Into::into).into(),
        up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"].map(Into::into).into(),
        layers_per_block: PerBlock::All(1),
        norm_num_groups: 4,
        attention_head_dim: PerBlock::All(2),
        cross_attention_dim: PerBlock::All(6),
        only_cross_attention: PerBlock::Each(vec![true, false]),
        time_cond_proj_dim: Some(8),
        num_class_embeds: Some(2),
        dropout: 0.3,
        ..Unet2dConditionConfig::default()
    };
    let network = Unet2dCondition::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let mut noise = Noise::new(3);
    let mut cond = Cond::classes(&[0, 1], 2, Device::Cpu).unwrap();
    cond.text = Some(noise.normal(&[2, 5, 6]));
    cond.guidance = Some(noise.uniform(&[2]));
    // an odd size, which comes back through the decoder
    subject("UNet2DConditionModel", network, noise.normal(&[2, 4, 6, 7]), cond)
}

fn sdxl() -> Subject {
    let config = Unet2dConditionConfig {
        block_out_channels: vec![8, 16],
        down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D"].map(Into::into).into(),
        up_block_types: ["CrossAttnUpBlock2D", "UpBlock2D"].map(Into::into).into(),
        layers_per_block: PerBlock::Each(vec![1, 2]),
        norm_num_groups: 4,
        attention_head_dim: PerBlock::Each(vec![1, 2]),
        cross_attention_dim: PerBlock::All(6),
        transformer_layers_per_block: PerBlock::Each(vec![PerBlock::All(1), PerBlock::All(2)]),
        addition_time_embed_dim: Some(4),
        projection_class_embeddings_input_dim: Some(24 + 5),
        dropout: 0.3,
        ..Unet2dConditionConfig::sdxl()
    };
    let network = Unet2dCondition::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let mut noise = Noise::new(3);
    let mut cond = Cond::none();
    cond.text = Some(noise.normal(&[2, 5, 6]));
    cond.pooled_text = Some(noise.normal(&[2, 5]));
    cond.size = Some(noise.uniform(&[2, 6]) * 100.0);
    subject("UNet2DConditionModel, XL", network, noise.normal(&[2, 4, 8, 8]), cond)
}
