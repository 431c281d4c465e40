//! The same network as EDM has it.

use super::GuidedUnet;
use super::adm_names::AdmNames;
use super::config::GuidedUnetConfig;
use super::layout::{Layout, ModuleShape};
use crate::dhariwal_unet::{DhariwalUnet, DhariwalUnetConfig};
use crate::{Error, Result};
use diffusion_core::Backbone;

/// EDM normalizes in groups of at least four channels: in 32 groups from this number of channels on.
const FEWEST_CHANNELS: i64 = 128;

/// EDM's attention heads.
const HEAD_CHANNELS: i64 = 64;

impl GuidedUnet {
    /// The same network with EDM's names: equal answers to equal arguments.
    ///
    /// Heads, their channels and query, key and value change places, the table of classes is transposed, and filters
    /// are added; all else keeps its values. Where no labels are given, EDM's network takes zeros.
    ///
    /// # Errors
    /// As [`GuidedUnetConfig::to_adm`].
    pub fn to_adm(&self) -> Result<DhariwalUnet> {
        let adm = DhariwalUnet::zeroed(&self.config.to_adm()?, self.parameters.device())?;
        adm.parameters().load(AdmNames::new(&self.config).translate(&self.parameters))?;
        Ok(adm)
    }
}

impl GuidedUnetConfig {
    /// The same network's configuration with EDM's names.
    ///
    /// # Errors
    /// As [`GuidedUnetConfig::validate`]; [`Error::Unsupported`] for what EDM's network cannot be: added embeddings,
    /// resampling outside of blocks, parts of `model_channels`, fewer than 128 channels (EDM has smaller groups then), heads of
    /// other than 64 channels, or a scaled noise argument.
    ///
    /// # Example
    /// ```
    /// use unet::{DhariwalUnetConfig, GuidedUnetConfig};
    /// let config = GuidedUnetConfig { out_channels: 3, ..GuidedUnetConfig::imagenet64() };
    /// assert_eq!(config.to_adm()?, DhariwalUnetConfig::imagenet64());
    /// # Ok::<(), unet::Error>(())
    /// ```
    pub fn to_adm(&self) -> Result<DhariwalUnetConfig> {
        self.validate()?;
        self.check_is_adm()?;
        let levels = (0..self.channel_mult.len()).filter(|level| self.attends(*level));
        let attn_resolutions = levels.map(|level| self.image_size >> level).collect();
        let answer = (self.out_channels != self.in_channels).then_some(self.out_channels);
        Ok(DhariwalUnetConfig {
            img_resolution: self.image_size,
            img_channels: self.in_channels,
            out_channels: answer,
            label_dim: self.num_classes.unwrap_or(0),
            augment_dim: 0,
            model_channels: self.model_channels,
            channel_mult: self.channel_mult.iter().map(|mult| *mult as i64).collect(),
            channel_mult_emb: 4,
            num_blocks: self.num_res_blocks,
            attn_resolutions,
            dropout: self.dropout,
            label_dropout: 0.0,
        })
    }

    fn check_is_adm(&self) -> Result<()> {
        let check = |field, value: String, is_adm, supported| {
            if is_adm { Ok(()) } else { Err(Error::Unsupported { field, value, supported }) }
        };
        let Self { use_scale_shift_norm, resblock_updown, timestep_scale, .. } = *self;
        check("use_scale_shift_norm", "false".into(), use_scale_shift_norm, "true")?;
        check("resblock_updown", "false".into(), resblock_updown, "true")?;
        check("timestep_scale", timestep_scale.to_string(), timestep_scale == 1.0, "1")?;
        let mults = format!("{:?}", self.channel_mult);
        let are_whole = self.channel_mult.iter().all(|mult| mult.fract() == 0.0);
        check("channel_mult", mults, are_whole, "whole numbers")?;
        Layout::new(self).rows().flat_map(|(_, row)| &row.modules).try_for_each(|module| {
            let narrowest = module.normalized().into_iter().min();
            let is_wide = narrowest.is_none_or(|channels| channels >= FEWEST_CHANNELS);
            check("model_channels", self.model_channels.to_string(), is_wide, "128 and more")?;
            let ModuleShape::Attention(shape) = module else { return Ok(()) };
            let is_adm = shape.heads * HEAD_CHANNELS == shape.channels;
            check("num_head_channels", self.num_head_channels.to_string(), is_adm, "64")
        })
    }
}
