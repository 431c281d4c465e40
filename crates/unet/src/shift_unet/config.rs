//! The sizes and choices that make a student with a gradient branch.

use super::ShiftUnet;
use crate::blocks::{GuidedBlockStyle, Modulation};
use crate::builder::Builder;
use crate::check::{MAX_BLOCKS, in_range, probability};
use crate::guided_unet::{GuidedFlavor, GuidedUnetConfig};
use crate::{Error, Result};
use diffusion_core::Backbone;
use serde::{Deserialize, Serialize};

/// Configuration of a [`ShiftUnet`](crate::ShiftUnet), with the official field names.
///
/// The defaults are the sizes for CIFAR-10, with one attention head. Fields that are left out of a JSON or TOML file take
/// them; unknown fields are errors. The last field is not official.
///
/// # Source
/// Zhou et al. 2024, arXiv:2311.03830; official `ShiftUNet` in `unet/student_unet.py`.
///
/// # Example
/// ```
/// use unet::ShiftUnetConfig;
/// let config: ShiftUnetConfig = serde_json::from_str(r#"{"base_channel": 64, "latent_dim": 256}"#)?;
/// assert_eq!(config.student(32).model_channels, 64);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShiftUnetConfig {
    /// Channels of the images, in and out.
    pub input_channel: i64,
    /// Channels of the first level, before `channel_multiplier`.
    pub base_channel: i64,
    /// For each level, from fine to coarse, its channels in units of `base_channel`.
    pub channel_multiplier: Vec<i64>,
    /// Residual blocks of each level in the encoder; the decoders have one more.
    pub num_residual_blocks_of_a_block: i64,
    /// The levels with self-attention, by how many times smaller than the image they are; those that no level has are
    /// without effect.
    pub attention_resolutions: Vec<i64>,
    /// Attention heads, if `head_channel` is -1.
    pub num_heads: i64,
    /// Channels of each attention head, or -1.
    pub head_channel: i64,
    /// Whether the channels of `qkv` run over query, key and value first, then over heads.
    pub use_new_attention_order: bool,
    /// Probability of zeroing an activation in training.
    pub dropout: f64,
    /// Width of the semantic code `z`.
    pub latent_dim: i64,
    /// What the noise argument is multiplied by before it is embedded: 1000 where times run from 0 to 1.
    pub timestep_scale: f64,
}

impl Default for ShiftUnetConfig {
    fn default() -> Self {
        Self {
            input_channel: 3,
            base_channel: 128,
            channel_multiplier: vec![1, 2, 2, 2],
            num_residual_blocks_of_a_block: 2,
            attention_resolutions: vec![2],
            num_heads: 1,
            head_channel: -1,
            use_new_attention_order: false,
            dropout: 0.1,
            latent_dim: 512,
            timestep_scale: 1.0,
        }
    }
}

impl ShiftUnetConfig {
    /// The configuration of the student alone, for images of `image_size` pixels: its tensors have the same names.
    pub fn student(&self, image_size: i64) -> GuidedUnetConfig {
        GuidedUnetConfig {
            image_size,
            in_channels: self.input_channel,
            model_channels: self.base_channel,
            out_channels: self.input_channel,
            num_res_blocks: self.num_residual_blocks_of_a_block,
            attention_resolutions: self.attention_resolutions.clone(),
            dropout: self.dropout,
            channel_mult: self.channel_multiplier.iter().map(|mult| *mult as f64).collect(),
            num_heads: self.num_heads,
            num_head_channels: self.head_channel,
            use_scale_shift_norm: true,
            resblock_updown: true,
            use_new_attention_order: self.use_new_attention_order,
            flavor: GuidedFlavor::GuidedDiffusion,
            timestep_scale: self.timestep_scale,
            ..GuidedUnetConfig::default()
        }
    }

    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::BadProbability`], [`Error::Unsupported`], [`Error::IndivisibleGroups`] or
    /// [`Error::IndivisibleChannels`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        in_range("input_channel", self.input_channel, 1, 1 << 16)?;
        in_range("base_channel", self.base_channel, 2, 1 << 14)?;
        let levels = self.channel_multiplier.len() as i64;
        in_range("number of values in `channel_multiplier`", levels, 1, 16)?;
        let mut mults = self.channel_multiplier.iter();
        mults.try_for_each(|&mult| in_range("channel_multiplier", mult, 1, 64))?;
        let blocks = self.num_residual_blocks_of_a_block;
        in_range("num_residual_blocks_of_a_block", blocks, 1, MAX_BLOCKS)?;
        in_range("num_heads", self.num_heads, 1, 1 << 14)?;
        in_range("latent_dim", self.latent_dim, 1, 1 << 20)?;
        probability("dropout", self.dropout)?;
        self.student(self.multiple()).validate().map_err(with_own_names)
    }

    /// Number of trained values of the network, found without building it.
    ///
    /// # Errors
    /// As [`ShiftUnetConfig::validate`].
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(ShiftUnet::build(self, Builder::outline())?.parameters().count() as u64)
    }

    /// What height and width of the images must be multiples of.
    pub(crate) fn multiple(&self) -> i64 {
        1 << (self.channel_multiplier.len() - 1)
    }

    /// What the residual blocks of the gradient branch have in common.
    pub(crate) fn branch_style(&self, student: &GuidedUnetConfig) -> GuidedBlockStyle {
        GuidedBlockStyle { modulation: Modulation::DoubleScaleShift, ..student.style() }
    }
}

/// The student's errors under the names that fields have here.
fn with_own_names(mut error: Error) -> Error {
    if let Error::Unsupported { field, .. } | Error::IndivisibleChannels { field, .. } = &mut error
    {
        *field = match *field {
            "num_head_channels" => "head_channel",
            "model_channels" => "base_channel",
            other => other,
        };
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_named() {
        let field = |change: fn(&mut ShiftUnetConfig)| {
            let mut config = ShiftUnetConfig::default();
            change(&mut config);
            match config.validate().unwrap_err() {
                Error::OutOfRange { field, .. }
                | Error::BadProbability { field, .. }
                | Error::IndivisibleChannels { field, .. }
                | Error::Unsupported { field, .. } => field,
                other => panic!("{other}"),
            }
        };
        ShiftUnetConfig::default().validate().unwrap();
        assert_eq!(field(|c| c.input_channel = 0), "input_channel");
        assert_eq!(field(|c| c.base_channel = 0), "base_channel");
        assert_eq!(field(|c| c.base_channel = 33), "base_channel");
        assert_eq!(
            field(|c| c.channel_multiplier = vec![]),
            "number of values in `channel_multiplier`"
        );
        assert_eq!(field(|c| c.channel_multiplier = vec![1, 0]), "channel_multiplier");
        assert_eq!(
            field(|c| c.num_residual_blocks_of_a_block = 0),
            "num_residual_blocks_of_a_block"
        );
        assert_eq!(field(|c| c.num_heads = 0), "num_heads");
        assert_eq!(field(|c| c.num_heads = 3), "num_heads");
        assert_eq!(field(|c| c.head_channel = 0), "head_channel");
        assert_eq!(field(|c| c.head_channel = 96), "head_channel");
        assert_eq!(field(|c| c.latent_dim = 0), "latent_dim");
        assert_eq!(field(|c| c.dropout = -0.1), "dropout");
        assert_eq!(field(|c| c.timestep_scale = f64::NAN), "timestep_scale");
    }

    #[test]
    fn channels_must_split_into_groups() {
        let config = ShiftUnetConfig { base_channel: 48, ..ShiftUnetConfig::default() };
        let error = config.validate().unwrap_err();
        assert!(matches!(error, Error::IndivisibleGroups { channels: 48, groups: 32, .. }));
    }
}
