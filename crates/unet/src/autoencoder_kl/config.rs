//! The sizes and choices that make an `AutoencoderKL`.

use super::half;
use crate::check::{MAX_BLOCKS, in_range};
use crate::diffusers::{Fields, OtherFields, check};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const DOWN: &str = "DownEncoderBlock2D";
const UP: &str = "UpDecoderBlock2D";

const FIELDS: Fields = Fields {
    fixed: &[
        ("_class_name", &["\"AutoencoderKL\""]),
        ("act_fn", &["\"silu\"", "\"swish\""]),
        ("latents_mean", &["null"]),
        ("latents_std", &["null"]),
    ],
    harmless: &["force_upcast", "sample_size"],
};

/// Configuration of an [`AutoencoderKl`](crate::AutoencoderKl): the published `config.json` of an `AutoencoderKL`.
///
/// Fields that are left out take the library's defaults. Fields that this struct does not name are kept in `others`; one
/// that could change numbers and has a value that cannot be built is an error, and so is an unknown one.
///
/// # Source
/// Rombach et al. 2022, arXiv:2112.10752; `AutoencoderKL` of the library diffusers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoencoderKlConfig {
    /// Channels of the images that are encoded.
    pub in_channels: i64,
    /// Channels of the images that are decoded.
    pub out_channels: i64,
    /// `DownEncoderBlock2D` for each level.
    pub down_block_types: Vec<String>,
    /// `UpDecoderBlock2D` for each level.
    pub up_block_types: Vec<String>,
    /// Channels of each level, from fine to coarse.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks of each level in the encoder; the decoder has one more.
    pub layers_per_block: i64,
    /// Channels of the latents.
    pub latent_channels: i64,
    /// Normalization groups.
    pub norm_num_groups: i64,
    /// What latents are multiplied with for the diffusion model.
    pub scaling_factor: f64,
    /// What is subtracted from them before.
    pub shift_factor: Option<f64>,
    /// Whether a convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the middle blocks attend.
    pub mid_block_add_attention: bool,
    /// Every other field of the published configuration.
    #[serde(flatten)]
    pub others: OtherFields,
}

impl Default for AutoencoderKlConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec![DOWN.into()],
            up_block_types: vec![UP.into()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            latent_channels: 4,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            shift_factor: None,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            others: OtherFields::new(),
        }
    }
}

impl AutoencoderKlConfig {
    /// The autoencoder of Stable Diffusion 1 and 2.
    pub fn sd() -> Self {
        Self {
            down_block_types: vec![DOWN.into(); 4],
            up_block_types: vec![UP.into(); 4],
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            ..Self::default()
        }
    }

    /// The autoencoder of Stable Diffusion XL: the same network with other weights, and latents in another unit.
    pub fn sdxl() -> Self {
        Self { scaling_factor: 0.13025, ..Self::sd() }
    }

    /// How many pixels of an image, in each direction, a pixel of the latents stands for.
    pub fn downsampling(&self) -> i64 {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Checks that an autoencoder with these values exists.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::UnknownField`], [`Error::OutOfRange`], [`Error::WrongCount`] or
    /// [`Error::IndivisibleChannels`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        FIELDS.check(&self.others)?;
        let types: [(&[String], &[&str]); 2] =
            [(&self.down_block_types, &[DOWN]), (&self.up_block_types, &[UP])];
        check::levels(&self.block_out_channels, types)?;
        in_range("in_channels", self.in_channels, 1, 1 << 16)?;
        in_range("out_channels", self.out_channels, 1, 1 << 16)?;
        in_range("latent_channels", self.latent_channels, 1, 1 << 16)?;
        in_range("layers_per_block", self.layers_per_block, 1, MAX_BLOCKS)?;
        in_range("norm_num_groups", self.norm_num_groups, 1, 1 << 16)?;
        check::positive("scaling_factor", self.scaling_factor)?;
        if let Some(shift) = self.shift_factor.filter(|shift| !shift.is_finite()) {
            let (field, value) = ("shift_factor", shift.to_string());
            return Err(Error::Unsupported { field, value, supported: "a finite number" });
        }
        for (stages, mid) in [half::encoder_plan(self), half::decoder_plan(self)] {
            check::stages(stages.iter().chain([&mid]), self.norm_num_groups)?;
        }
        Ok(())
    }
}
