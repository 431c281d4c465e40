//! The sizes and choices that make a U-Net of guided-diffusion or of consistency models.

use super::GuidedUnet;
use crate::Result;
use crate::blocks::{GuidedBlockStyle, Modulation, QkvOrder};
use crate::builder::Builder;
use diffusion_core::Backbone;
use serde::{Deserialize, Serialize};

/// The code that a network's weights are of: the same network, but for its attention layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuidedFlavor {
    /// guided-diffusion: weights `[out, in, 1]`, in the order that `use_new_attention_order` says.
    #[default]
    GuidedDiffusion,
    /// `consistency_models`: weights `[out, in, 1, 1]`, always in the new order.
    ConsistencyModels,
}

/// Configuration of a [`GuidedUnet`](crate::GuidedUnet), with the official field names.
///
/// The defaults are those of the official constructor, with 128 channels and two blocks on images of 64 × 64 where it
/// has none. Fields that are left out of a JSON or TOML file take them; unknown fields are errors. The two last fields are not
/// official: they tell what the code around the weights does.
///
/// # Source
/// Dhariwal & Nichol 2021, arXiv:2105.05233; official `UNetModel` in `guided_diffusion/unet.py` and `cm/unet.py`.
///
/// # Example
/// ```
/// use unet::{Error, GuidedUnetConfig};
/// let config = GuidedUnetConfig { model_channels: 48, ..GuidedUnetConfig::default() };
/// let error = config.validate().unwrap_err();
/// assert!(matches!(error, Error::IndivisibleGroups { channels: 48, groups: 32, .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuidedUnetConfig {
    /// Height and width of the images, in pixels.
    pub image_size: i64,
    /// Channels of the images.
    pub in_channels: i64,
    /// Channels of the first level, before `channel_mult`.
    pub model_channels: i64,
    /// Channels of the answer: twice those of the images for a network that answers with a variance, too.
    pub out_channels: i64,
    /// Residual blocks of each level in the encoder; the decoder has one more.
    pub num_res_blocks: i64,
    /// The levels with self-attention, by how many times smaller than the image they are (a resolution of 16 in an
    /// image of 64 is 4); those that no level has are without effect.
    pub attention_resolutions: Vec<i64>,
    /// Probability of zeroing an activation in training.
    pub dropout: f64,
    /// For each level, from fine to coarse, its channels in units of `model_channels`, rounded down to whole channels.
    pub channel_mult: Vec<f64>,
    /// Whether halving and doubling convolve, where blocks do not do it.
    pub conv_resample: bool,
    /// Number of classes; `None` for an unconditional network.
    pub num_classes: Option<i64>,
    /// Attention heads, if `num_head_channels` is -1.
    pub num_heads: i64,
    /// Channels of each attention head, or -1.
    pub num_head_channels: i64,
    /// Attention heads of the decoder, if `num_head_channels` is -1; -1 for `num_heads`.
    pub num_heads_upsample: i64,
    /// Whether the embedding scales and shifts the second normalization of a block; otherwise it is added before.
    pub use_scale_shift_norm: bool,
    /// Whether residual blocks halve and double the resolution.
    pub resblock_updown: bool,
    /// Whether the channels of `qkv` run over query, key and value first, then over heads.
    pub use_new_attention_order: bool,
    /// The code that the weights are of.
    pub flavor: GuidedFlavor,
    /// What the noise argument is multiplied by before it is embedded: 1000 for `consistency_models`, which hand
    /// `250 ln(sigma)` to the network where EDM's preconditioning has `ln(sigma) / 4`.
    pub timestep_scale: f64,
}

impl Default for GuidedUnetConfig {
    fn default() -> Self {
        Self {
            image_size: 64,
            in_channels: 3,
            model_channels: 128,
            out_channels: 3,
            num_res_blocks: 2,
            attention_resolutions: vec![4, 8],
            dropout: 0.0,
            channel_mult: vec![1.0, 2.0, 4.0, 8.0],
            conv_resample: true,
            num_classes: None,
            num_heads: 1,
            num_head_channels: -1,
            num_heads_upsample: -1,
            use_scale_shift_norm: false,
            resblock_updown: false,
            use_new_attention_order: false,
            flavor: GuidedFlavor::GuidedDiffusion,
            timestep_scale: 1.0,
        }
    }
}

impl GuidedUnetConfig {
    /// Number of trained values of the network, found without building it.
    ///
    /// # Errors
    /// As [`GuidedUnetConfig::validate`].
    ///
    /// # Example
    /// ```
    /// assert_eq!(unet::GuidedUnetConfig::imagenet64().parameter_count()?, 295_904_454);
    /// # Ok::<(), unet::Error>(())
    /// ```
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(GuidedUnet::build(self, Builder::outline())?.parameters().count() as u64)
    }

    /// Width of the embedding that every block sees.
    pub(crate) fn emb_channels(&self) -> i64 {
        4 * self.model_channels
    }

    /// What the residual blocks have in common.
    pub(crate) fn style(&self) -> GuidedBlockStyle {
        let modulation =
            if self.use_scale_shift_norm { Modulation::ScaleShift } else { Modulation::Add };
        GuidedBlockStyle { emb_channels: self.emb_channels(), dropout: self.dropout, modulation }
    }

    pub(crate) fn level_channels(&self, level: usize) -> i64 {
        (self.channel_mult[level] * self.model_channels as f64) as i64
    }

    pub(crate) fn attends(&self, level: usize) -> bool {
        self.attention_resolutions.contains(&(1 << level))
    }

    /// Heads of an attention layer in the encoder or between encoder and decoder.
    pub(crate) fn heads(&self, channels: i64) -> i64 {
        self.heads_or(channels, self.num_heads)
    }

    pub(crate) fn heads_of_decoder(&self, channels: i64) -> i64 {
        let Self { num_heads, num_heads_upsample, .. } = *self;
        self.heads_or(
            channels,
            if num_heads_upsample == -1 { num_heads } else { num_heads_upsample },
        )
    }

    fn heads_or(&self, channels: i64, heads: i64) -> i64 {
        if self.num_head_channels == -1 { heads } else { channels / self.num_head_channels }
    }

    pub(crate) fn qkv_order(&self) -> QkvOrder {
        if self.use_new_attention_order || self.flavor == GuidedFlavor::ConsistencyModels {
            QkvOrder::PartHeadChannel
        } else {
            QkvOrder::HeadPartChannel
        }
    }

    /// Trailing axes of the attention layers' weights.
    pub(crate) fn qkv_axes(&self) -> usize {
        match self.flavor {
            GuidedFlavor::GuidedDiffusion => 1,
            GuidedFlavor::ConsistencyModels => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_or_measured() {
        let config = GuidedUnetConfig { num_heads: 4, ..GuidedUnetConfig::default() };
        assert_eq!((config.heads(256), config.heads_of_decoder(256)), (4, 4));
        let config = GuidedUnetConfig { num_heads_upsample: 2, ..config };
        assert_eq!((config.heads(256), config.heads_of_decoder(256)), (4, 2));
        let config = GuidedUnetConfig { num_head_channels: 64, ..config };
        assert_eq!((config.heads(256), config.heads_of_decoder(512)), (4, 8));
    }

    #[test]
    fn official_values_are_understood_and_unknown_fields_refused() {
        let parse = serde_json::from_str::<GuidedUnetConfig>;
        let config = parse(r#"{"num_classes": null, "channel_mult": [0.5, 1, 2]}"#).unwrap();
        assert_eq!((config.num_classes, config.level_channels(0)), (None, 64));
        let error = parse(r#"{"attention_ds": [2]}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `attention_ds`"), "{error}");
    }
}
