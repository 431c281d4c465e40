//! The networks that are published.

use super::config::{DOWN, UP, Unet2dConditionConfig};
use crate::diffusers::PerBlock;

impl Unet2dConditionConfig {
    /// Stable Diffusion 1.1 to 1.5.
    pub fn sd15() -> Self {
        Self { cross_attention_dim: PerBlock::All(768), ..Self::default() }
    }

    /// Stable Diffusion 2.0 and 2.1.
    pub fn sd21() -> Self {
        Self {
            cross_attention_dim: PerBlock::All(1024),
            attention_head_dim: PerBlock::Each(vec![5, 10, 20, 20]),
            use_linear_projection: true,
            ..Self::default()
        }
    }

    /// Stable Diffusion XL.
    pub fn sdxl() -> Self {
        let [down, cross_down] = DOWN.map(str::to_owned);
        let [up, cross_up] = UP.map(str::to_owned);
        Self {
            down_block_types: vec![down, cross_down.clone(), cross_down],
            up_block_types: vec![cross_up.clone(), cross_up, up],
            block_out_channels: vec![320, 640, 1280],
            cross_attention_dim: PerBlock::All(2048),
            transformer_layers_per_block: PerBlock::Each([1, 2, 10].map(PerBlock::All).into()),
            attention_head_dim: PerBlock::Each(vec![5, 10, 20]),
            use_linear_projection: true,
            addition_embed_type: Some("text_time".into()),
            addition_time_embed_dim: Some(256),
            projection_class_embeddings_input_dim: Some(2816),
            ..Self::default()
        }
    }

    /// The latent consistency model of Stable Diffusion 1.5 (`LCM_Dreamshaper_v7`): also sees the guidance scale.
    pub fn lcm_sd15() -> Self {
        Self { time_cond_proj_dim: Some(256), ..Self::sd15() }
    }

    /// The latent consistency model of Stable Diffusion XL (`lcm-sdxl`).
    pub fn lcm_sdxl() -> Self {
        Self { time_cond_proj_dim: Some(256), ..Self::sdxl() }
    }
}
