//! Every network, small and with inputs that fit it: the only list.

use diffusion_core::{AttentionTaps, Backbone, Cond, FeatureTaps, Noise};
use tch::{Device, Tensor};
use unet::{
    PerBlock, SongUnet, SongUnetConfig, TimeScaleShift, Unet2d, Unet2dCondition,
    Unet2dConditionConfig, Unet2dConfig,
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
    vec![ddpmpp(), unet_2d(), unet_2d_scale_shift(), unet_2d_condition(), sdxl()]
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
    let config = SongUnetConfig {
        img_resolution: 8,
        label_dim: 3,
        augment_dim: 9,
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![4],
        dropout: 0.3,
        ..SongUnetConfig::default()
    };
    let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let mut noise = Noise::new(3);
    let augment = noise.normal(&[2, 9]);
    let cond = Cond::classes(&[0, 2], 3, Device::Cpu).unwrap().with_augment(augment);
    subject("DDPM++", network, noise.normal(&[2, 3, 8, 8]), cond)
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
