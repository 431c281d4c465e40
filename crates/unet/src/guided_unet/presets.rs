//! The configurations of the released checkpoints.

use super::config::{GuidedFlavor, GuidedUnetConfig};

impl GuidedUnetConfig {
    /// guided-diffusion's network for ImageNet at 64 × 64: `64x64_diffusion.pt`.
    pub fn imagenet64() -> Self {
        Self {
            model_channels: 192,
            num_res_blocks: 3,
            attention_resolutions: vec![2, 4, 8],
            dropout: 0.1,
            channel_mult: vec![1.0, 2.0, 3.0, 4.0],
            use_new_attention_order: true,
            ..Self::with_classes()
        }
    }

    /// guided-diffusion's network for ImageNet at 128 × 128: `128x128_diffusion.pt`. Four heads, however wide.
    pub fn imagenet128() -> Self {
        Self {
            image_size: 128,
            attention_resolutions: vec![4, 8, 16],
            channel_mult: vec![1.0, 1.0, 2.0, 3.0, 4.0],
            num_heads: 4,
            num_head_channels: -1,
            ..Self::with_classes()
        }
    }

    /// guided-diffusion's network for ImageNet at 256 × 256: `256x256_diffusion.pt`.
    pub fn imagenet256() -> Self {
        Self {
            image_size: 256,
            attention_resolutions: vec![8, 16, 32],
            channel_mult: vec![1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
            ..Self::with_classes()
        }
    }

    /// The same without classes: `256x256_diffusion_uncond.pt`.
    pub fn imagenet256_unconditional() -> Self {
        Self { num_classes: None, ..Self::imagenet256() }
    }

    /// guided-diffusion's network for ImageNet at 512 × 512: `512x512_diffusion.pt`.
    pub fn imagenet512() -> Self {
        Self {
            image_size: 512,
            attention_resolutions: vec![16, 32, 64],
            channel_mult: vec![0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
            ..Self::with_classes()
        }
    }

    /// guided-diffusion's network for LSUN at 256 × 256: `lsun_bedroom.pt`, `lsun_cat.pt` and `lsun_horse.pt`.
    pub fn lsun256() -> Self {
        Self { dropout: 0.1, ..Self::imagenet256_unconditional() }
    }

    /// The network of `consistency_models` for ImageNet at 64 × 64: `edm_imagenet64_ema.pt`, `cd_imagenet64_l2.pt`,
    /// `cd_imagenet64_lpips.pt` and `ct_imagenet64.pt`. The teacher was trained with a dropout of 0.1, students without.
    pub fn consistency_imagenet64() -> Self {
        Self { dropout: 0.0, ..Self::imagenet64() }.of_consistency_models()
    }

    /// The network of `consistency_models` for LSUN at 256 × 256: `edm_`, `cd_` and `ct_` for `bedroom256` and
    /// `cat256`. Embeddings are added. The teacher was trained with a dropout of 0.1, students without.
    pub fn consistency_lsun256() -> Self {
        let config = Self { use_scale_shift_norm: false, ..Self::imagenet256_unconditional() };
        config.of_consistency_models()
    }

    /// What the networks for ImageNet have in common.
    fn with_classes() -> Self {
        Self {
            model_channels: 256,
            out_channels: 6,
            num_classes: Some(1000),
            num_head_channels: 64,
            use_scale_shift_norm: true,
            resblock_updown: true,
            ..Self::default()
        }
    }

    fn of_consistency_models(self) -> Self {
        let flavor = GuidedFlavor::ConsistencyModels;
        Self { out_channels: self.in_channels, flavor, timestep_scale: 1000.0, ..self }
    }
}
