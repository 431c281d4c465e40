//! The sizes that make a `DhariwalUNet`.

use super::DhariwalUnet;
use crate::blocks::BlockStyle;
use crate::builder::Builder;
use crate::check::{in_range, probability};
use crate::trunk::{Attending, EncoderType, Sizes};
use crate::{Error, Result};
use diffusion_core::Backbone;
use serde::{Deserialize, Serialize};

/// Configuration of a [`DhariwalUnet`], with the official field names.
///
/// The defaults are those of the official network, for images of 64 × 64 in three colors. Fields that are left out of a
/// JSON or TOML file take them; unknown fields are errors.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, table 7; official `DhariwalUNet` in `training/networks.py`.
///
/// # Example
/// ```
/// use unet::DhariwalUnetConfig;
/// let config: DhariwalUnetConfig = serde_json::from_str(r#"{"label_dim": 1000}"#)?;
/// assert_eq!(config, DhariwalUnetConfig::imagenet64());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DhariwalUnetConfig {
    /// Height and width of the images, in pixels.
    pub img_resolution: i64,
    /// Channels of the images.
    pub img_channels: i64,
    /// Channels of the answer, if not those of the images: twice as many in networks with learned variance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_channels: Option<i64>,
    /// Number of classes; 0 for an unconditional network.
    pub label_dim: i64,
    /// Number of augmentation labels; 0 for a network that knows of no augmentation.
    pub augment_dim: i64,
    /// Channels of the first level, before `channel_mult`.
    pub model_channels: i64,
    /// For each level, from fine to coarse, its channels in units of `model_channels`.
    pub channel_mult: Vec<i64>,
    /// Width of the embedding in units of `model_channels`.
    pub channel_mult_emb: i64,
    /// Residual blocks of each level in the encoder; the decoder has one more.
    pub num_blocks: i64,
    /// Resolutions with self-attention, in all blocks of at least 64 channels; those that no level has are without effect.
    pub attn_resolutions: Vec<i64>,
    /// Probability of zeroing an activation in training.
    pub dropout: f64,
    /// Probability of hiding an image's class in training.
    pub label_dropout: f64,
}

impl Default for DhariwalUnetConfig {
    fn default() -> Self {
        Self {
            img_resolution: 64,
            img_channels: 3,
            out_channels: None,
            label_dim: 0,
            augment_dim: 0,
            model_channels: 192,
            channel_mult: vec![1, 2, 3, 4],
            channel_mult_emb: 4,
            num_blocks: 3,
            attn_resolutions: vec![32, 16, 8],
            dropout: 0.10,
            label_dropout: 0.0,
        }
    }
}

impl DhariwalUnetConfig {
    /// The official network for ImageNet at 64 × 64, with its 1000 classes.
    pub fn imagenet64() -> Self {
        Self { label_dim: 1000, ..Self::default() }
    }

    /// The same network with learned variance, as for the `IDdpm` preconditioning: it answers with two images, and the
    /// first is the prediction.
    #[must_use]
    pub fn with_learned_variance(self) -> Self {
        Self { out_channels: Some(2 * self.img_channels), ..self }
    }

    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::BadProbability`], [`Error::IndivisibleResolution`], [`Error::IndivisibleGroups`],
    /// [`Error::IndivisibleHeads`] or [`Error::OddEmbedding`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        in_range("out_channels", self.answer_channels(), 1, 1 << 16)?;
        in_range("label_dim", self.label_dim, 0, 1 << 20)?;
        in_range("augment_dim", self.augment_dim, 0, 1 << 20)?;
        in_range("channel_mult_emb", self.channel_mult_emb, 1, 64)?;
        probability("dropout", self.dropout)?;
        probability("label_dropout", self.label_dropout)?;
        self.sizes().validate()?;
        self.sizes().check_heads(&self.style())?;
        match self.model_channels {
            channels if channels % 2 != 0 => Err(Error::OddEmbedding { channels }),
            _ => Ok(()),
        }
    }

    /// Number of trained values of the network, found without building it.
    ///
    /// # Errors
    /// As [`DhariwalUnetConfig::validate`].
    ///
    /// # Example
    /// ```
    /// assert_eq!(unet::DhariwalUnetConfig::imagenet64().parameter_count()?, 295_899_267);
    /// # Ok::<(), unet::Error>(())
    /// ```
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(DhariwalUnet::build(self, Builder::outline())?.parameters().count() as u64)
    }

    /// Channels of the answer.
    pub(crate) fn answer_channels(&self) -> i64 {
        self.out_channels.unwrap_or(self.img_channels)
    }

    /// What all blocks have in common.
    pub(crate) fn style(&self) -> BlockStyle {
        BlockStyle::dhariwal(self.model_channels * self.channel_mult_emb, self.dropout)
    }

    /// What decides the layers.
    pub(crate) fn sizes(&self) -> Sizes<'_> {
        Sizes {
            img_resolution: self.img_resolution,
            img_channels: self.img_channels,
            model_channels: self.model_channels,
            channel_mult: &self.channel_mult,
            num_blocks: self.num_blocks,
            attn_resolutions: &self.attn_resolutions,
            attending: Attending::Every,
            encoder_type: EncoderType::Standard,
            decoder_type: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut DhariwalUnetConfig)) -> Error {
        let mut config = DhariwalUnetConfig::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn the_presets_are_valid() {
        DhariwalUnetConfig::default().validate().unwrap();
        let config = DhariwalUnetConfig::imagenet64().with_learned_variance();
        config.validate().unwrap();
        assert_eq!(config.answer_channels(), 6);
    }

    #[test]
    fn impossible_values_are_named() {
        let field = |error| match error {
            Error::OutOfRange { field, .. } | Error::BadProbability { field, .. } => field,
            other => panic!("{other}"),
        };
        assert_eq!(field(error(|c| c.img_channels = 0)), "out_channels");
        assert_eq!(field(error(|c| c.out_channels = Some(0))), "out_channels");
        assert_eq!(field(error(|c| c.label_dim = -1)), "label_dim");
        assert_eq!(field(error(|c| c.model_channels = i64::MAX)), "model_channels");
        assert_eq!(field(error(|c| c.channel_mult_emb = 0)), "channel_mult_emb");
        assert_eq!(field(error(|c| c.channel_mult = vec![])), "number of values in `channel_mult`");
        assert_eq!(field(error(|c| c.dropout = -0.1)), "dropout");
        assert_eq!(field(error(|c| c.label_dropout = 1.0)), "label_dropout");
        let error = error(|c| c.img_resolution = 60);
        assert!(matches!(error, Error::IndivisibleResolution { multiple: 8, .. }), "{error}");
    }

    #[test]
    fn channels_must_split_into_heads() {
        let error = error(|c| (c.model_channels, c.channel_mult) = (200, vec![1, 1, 1]));
        let message = error.to_string();
        assert!(matches!(error, Error::IndivisibleGroups { .. }), "{message}");
        let error = error_of_heads();
        assert!(
            matches!(&error, Error::IndivisibleHeads { layer, channels: 224, heads: 3 } if layer == "32x32_block0"),
            "{error}"
        );
    }

    fn error_of_heads() -> Error {
        error(|c| (c.model_channels, c.channel_mult) = (224, vec![1, 1]))
    }
}
