//! The sizes and choices that make a SongUNet.

use super::SongUnet;
use crate::builder::Builder;
use crate::check::{in_range, probability, resample_filter};
use crate::trunk::{Attending, DecoderType, EncoderType, Sizes};
use crate::{Error, Result};
use diffusion_core::Backbone;
use serde::{Deserialize, Serialize};

/// How the noise level becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingType {
    /// Sines and cosines at fixed frequencies (DDPM++).
    Positional,
    /// Sines and cosines at random frequencies, which come with the weights (NCSN++).
    Fourier,
}

/// Configuration of a [`SongUnet`](crate::SongUnet), with the official field names.
///
/// The defaults are those of the official DDPM++ network, for images of 32 × 32 in three colors. Fields that are left
/// out of a JSON or TOML file take them; unknown fields are errors.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, table 7; official `SongUNet` in `training/networks.py`.
///
/// # Example
/// ```
/// use unet::{Error, SongUnetConfig};
/// let config: SongUnetConfig = serde_json::from_str(r#"{"img_resolution": 30}"#)?;
/// assert!(matches!(config.validate(), Err(Error::IndivisibleResolution { multiple: 8, .. })));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SongUnetConfig {
    /// Height and width of the images, in pixels.
    pub img_resolution: i64,
    /// Channels of the images, in and out.
    pub img_channels: i64,
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
    /// Resolutions with self-attention; those that no level has are without effect.
    pub attn_resolutions: Vec<i64>,
    /// Probability of zeroing an activation in training.
    pub dropout: f64,
    /// Probability of hiding an image's class in training.
    pub label_dropout: f64,
    /// How the noise level becomes a vector.
    pub embedding_type: EmbeddingType,
    /// Width of the noise embedding's first layer in units of `model_channels`.
    pub channel_mult_noise: i64,
    /// How the image reaches the coarser levels of the encoder.
    pub encoder_type: EncoderType,
    /// How the levels of the decoder reach the image.
    pub decoder_type: DecoderType,
    /// The filter for halving and doubling the resolution, before it is normalized: an even number of taps.
    pub resample_filter: Vec<i64>,
}

impl Default for SongUnetConfig {
    fn default() -> Self {
        Self {
            img_resolution: 32,
            img_channels: 3,
            label_dim: 0,
            augment_dim: 0,
            model_channels: 128,
            channel_mult: vec![1, 2, 2, 2],
            channel_mult_emb: 4,
            num_blocks: 4,
            attn_resolutions: vec![16],
            dropout: 0.10,
            label_dropout: 0.0,
            embedding_type: EmbeddingType::Positional,
            channel_mult_noise: 1,
            encoder_type: EncoderType::Standard,
            decoder_type: DecoderType::Standard,
            resample_filter: vec![1, 1],
        }
    }
}

impl SongUnetConfig {
    /// The official network for CIFAR-10; `label_dim` is 0 or 10.
    pub fn cifar10(label_dim: i64) -> Self {
        let channel_mult = vec![2, 2, 2];
        Self { label_dim, augment_dim: 9, channel_mult, dropout: 0.13, ..Self::default() }
    }

    /// The official network for FFHQ at 64 × 64.
    pub fn ffhq64() -> Self {
        Self { img_resolution: 64, augment_dim: 9, dropout: 0.05, ..Self::default() }
    }

    /// The official network for `AFHQv2` at 64 × 64.
    pub fn afhqv2_64() -> Self {
        Self { dropout: 0.25, ..Self::ffhq64() }
    }

    /// NCSN++ of the same sizes, instead of DDPM++.
    ///
    /// # Example
    /// ```
    /// let config = unet::SongUnetConfig::ffhq64().ncsnpp();
    /// assert_eq!(config.parameter_count()?, 62_761_091);
    /// # Ok::<(), unet::Error>(())
    /// ```
    #[must_use]
    pub fn ncsnpp(self) -> Self {
        Self {
            embedding_type: EmbeddingType::Fourier,
            encoder_type: EncoderType::Residual,
            channel_mult_noise: 2,
            resample_filter: vec![1, 3, 3, 1],
            ..self
        }
    }

    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::BadProbability`], [`Error::BadFilter`], [`Error::IndivisibleResolution`],
    /// [`Error::IndivisibleGroups`] or [`Error::OddEmbedding`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        in_range("label_dim", self.label_dim, 0, 1 << 20)?;
        in_range("augment_dim", self.augment_dim, 0, 1 << 20)?;
        in_range("channel_mult_emb", self.channel_mult_emb, 1, 64)?;
        in_range("channel_mult_noise", self.channel_mult_noise, 1, 64)?;
        probability("dropout", self.dropout)?;
        probability("label_dropout", self.label_dropout)?;
        resample_filter(&self.resample_filter)?;
        self.sizes().validate()?;
        match self.noise_channels() {
            channels if channels % 2 != 0 => Err(Error::OddEmbedding { channels }),
            _ => Ok(()),
        }
    }

    /// Number of trained values of the network, found without building it.
    ///
    /// # Errors
    /// As [`SongUnetConfig::validate`].
    ///
    /// # Example
    /// ```
    /// assert_eq!(unet::SongUnetConfig::cifar10(0).parameter_count()?, 55_733_891);
    /// # Ok::<(), unet::Error>(())
    /// ```
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(SongUnet::build(self, Builder::outline())?.parameters().count() as u64)
    }

    /// Channels of the noise embedding before its two layers.
    pub(crate) fn noise_channels(&self) -> i64 {
        self.model_channels * self.channel_mult_noise
    }

    /// Channels of the embedding that every block sees.
    pub(crate) fn emb_channels(&self) -> i64 {
        self.model_channels * self.channel_mult_emb
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
            attending: Attending::LastOfDecoder,
            encoder_type: self.encoder_type,
            decoder_type: Some(self.decoder_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut SongUnetConfig)) -> Error {
        let mut config = SongUnetConfig::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn the_presets_are_valid() {
        for config in [
            SongUnetConfig::default(),
            SongUnetConfig::cifar10(0),
            SongUnetConfig::cifar10(10),
            SongUnetConfig::ffhq64(),
            SongUnetConfig::afhqv2_64(),
            SongUnetConfig::cifar10(10).ncsnpp(),
        ] {
            config.validate().unwrap();
        }
    }

    #[test]
    fn impossible_values_are_named() {
        let field = |error| match error {
            Error::OutOfRange { field, .. } | Error::BadProbability { field, .. } => field,
            other => panic!("{other}"),
        };
        assert_eq!(field(error(|c| c.img_channels = 0)), "img_channels");
        assert_eq!(field(error(|c| c.img_resolution = -32)), "img_resolution");
        assert_eq!(field(error(|c| c.model_channels = 0)), "model_channels");
        assert_eq!(field(error(|c| c.model_channels = i64::MAX)), "model_channels");
        assert_eq!(field(error(|c| c.channel_mult = vec![])), "number of values in `channel_mult`");
        assert_eq!(field(error(|c| c.channel_mult = vec![1, 0])), "channel_mult");
        assert_eq!(field(error(|c| c.num_blocks = 0)), "num_blocks");
        assert_eq!(field(error(|c| c.label_dim = -1)), "label_dim");
        assert_eq!(field(error(|c| c.dropout = 1.0)), "dropout");
        assert_eq!(field(error(|c| c.label_dropout = f64::NAN)), "label_dropout");
    }

    #[test]
    fn filters_that_cannot_halve_are_refused() {
        for taps in [&[][..], &[1], &[1, 2, 1], &[1, -1], &[1; 18], &[1 << 20, 1]] {
            let error = error(|c| c.resample_filter = taps.to_vec());
            assert!(matches!(&error, Error::BadFilter { taps: found } if found == taps), "{error}");
        }
    }

    #[test]
    fn channels_must_split_into_groups() {
        let error = error(|c| c.model_channels = 132);
        assert!(matches!(&error, Error::IndivisibleGroups { channels: 132, groups: 32, .. }));
        assert!(error.to_string().contains("`32x32_block0`"), "{error}");
    }

    #[test]
    fn the_embedding_needs_pairs() {
        assert!(matches!(error(|c| c.model_channels = 5), Error::OddEmbedding { channels: 5 }));
    }

    #[test]
    fn the_resolution_must_reach_the_coarsest_level() {
        let error = error(|c| c.img_resolution = 28);
        assert!(error.to_string().contains("a multiple of 8"), "{error}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<SongUnetConfig>(r#"{"img_size": 32}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `img_size`"), "{error}");
    }
}
