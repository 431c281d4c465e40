//! What decides the layers of encoder and decoder.

use super::layout;
use crate::blocks::{BlockStyle, edm_groups};
use crate::check::{MAX_BLOCKS, in_range};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the image reaches the coarser levels of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderType {
    /// Through the blocks alone (DDPM++, ADM).
    Standard,
    /// Also halved and added to each level.
    Skip,
    /// Also through a branch of its own that convolutions halve (NCSN++).
    Residual,
}

/// How the levels of the decoder reach the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecoderType {
    /// Through the blocks alone (DDPM++, NCSN++).
    Standard,
    /// Every level answers with an image, and the sum of them, doubled from level to level, is the answer.
    Skip,
}

/// Which blocks attend at the resolutions with attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attending {
    /// All of the encoder, and the last of a level in the decoder.
    LastOfDecoder,
    /// All.
    Every,
}

/// The sizes and choices that the layers of encoder and decoder follow from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes<'c> {
    pub(crate) img_resolution: i64,
    pub(crate) img_channels: i64,
    pub(crate) model_channels: i64,
    pub(crate) channel_mult: &'c [i64],
    pub(crate) num_blocks: i64,
    pub(crate) attn_resolutions: &'c [i64],
    pub(crate) attending: Attending,
    pub(crate) encoder_type: EncoderType,
    /// `None` where the answer is made outside of the decoder.
    pub(crate) decoder_type: Option<DecoderType>,
}

impl Sizes<'_> {
    /// Checks that layers of these sizes exist.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("img_resolution", self.img_resolution, 1, 1 << 16)?;
        in_range("img_channels", self.img_channels, 1, 1 << 16)?;
        in_range("model_channels", self.model_channels, 4, 1 << 14)?;
        in_range("number of values in `channel_mult`", self.channel_mult.len() as i64, 1, 16)?;
        self.channel_mult.iter().try_for_each(|&mult| in_range("channel_mult", mult, 1, 64))?;
        in_range("num_blocks", self.num_blocks, 1, MAX_BLOCKS)?;
        self.check_resolution()?;
        self.check_groups()
    }

    /// Channels of a level.
    pub(crate) fn width(&self, level: usize) -> i64 {
        self.channel_mult[level] * self.model_channels
    }

    /// `32x32` and so on: a level's resolution, twice.
    pub(crate) fn name(&self, level: usize) -> String {
        let resolution = self.img_resolution >> level;
        format!("{resolution}x{resolution}")
    }

    /// Whether the blocks of a level attend, or some of them.
    pub(crate) fn attends(&self, level: usize) -> bool {
        self.attn_resolutions.contains(&(self.img_resolution >> level))
    }

    /// Checks that attention's channels split into the style's heads.
    pub(crate) fn check_heads(&self, style: &BlockStyle) -> Result<()> {
        let encoder = layout::encoder(self);
        for row in encoder.iter().chain(&layout::decoder(self, &encoder)) {
            let Some(channels) = row.attended() else { continue };
            let heads = style.heads(channels);
            if heads > 0 && channels % heads != 0 {
                let layer = row.name.clone();
                return Err(Error::IndivisibleHeads { layer, channels, heads });
            }
        }
        Ok(())
    }

    fn check_resolution(&self) -> Result<()> {
        let (img_resolution, levels) = (self.img_resolution, self.channel_mult.len());
        let multiple = 1 << (levels - 1);
        if img_resolution % multiple != 0 {
            return Err(Error::IndivisibleResolution { img_resolution, levels, multiple });
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<()> {
        let encoder = layout::encoder(self);
        let decoder = layout::decoder(self, &encoder);
        for row in encoder.iter().chain(&decoder) {
            for channels in row.normalized() {
                let groups = edm_groups(channels);
                if channels % groups != 0 {
                    let layer = row.name.clone();
                    return Err(Error::IndivisibleGroups { layer, channels, groups });
                }
            }
        }
        Ok(())
    }
}
