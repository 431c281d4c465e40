//! What all blocks of an EDM network have in common.

use super::GroupNorm;
use crate::builder::{Builder, Init};
use std::f64::consts::FRAC_1_SQRT_2;

/// The choices that tell the blocks of one family of EDM's networks from those of another.
#[derive(Debug, Clone)]
pub(crate) struct BlockStyle {
    /// Width of the embedding that every block sees.
    pub(crate) emb_channels: i64,
    /// Probability of zeroing an activation in training.
    pub(crate) dropout: f64,
    /// What normalizations add to the variance.
    pub(crate) epsilon: f64,
    /// What residual sums are multiplied with.
    pub(crate) skip_scale: f64,
    /// Whether the embedding scales and shifts what is normalized, or is added before.
    pub(crate) modulates: bool,
    /// Whether the skip connection of a block that resamples convolves, although the channels stay.
    pub(crate) projects_resampled: bool,
    /// Channels of an attention head; all of them in one head if there is no number.
    pub(crate) head_channels: Option<i64>,
    /// Taps of the filter for halving and doubling the resolution.
    pub(crate) resample_filter: Vec<i64>,
    /// First values of layers in general.
    pub(crate) usual: Init,
    /// First values of the last layer of a residual branch.
    pub(crate) silent: Init,
    /// First values of the layer that makes queries, keys and values.
    pub(crate) attention: Init,
}

impl BlockStyle {
    /// `SongUNet`: DDPM++ and NCSN++.
    pub(crate) fn song(emb_channels: i64, dropout: f64, resample_filter: &[i64]) -> Self {
        Self {
            emb_channels,
            dropout,
            epsilon: 1e-6,
            skip_scale: FRAC_1_SQRT_2,
            modulates: false,
            projects_resampled: true,
            head_channels: None,
            resample_filter: resample_filter.to_vec(),
            usual: Init::Glorot(1.0),
            silent: Init::Glorot(1e-5),
            attention: Init::Glorot(0.2f64.sqrt()),
        }
    }

    /// `DhariwalUNet`: ADM.
    pub(crate) fn dhariwal(emb_channels: i64, dropout: f64) -> Self {
        Self {
            emb_channels,
            dropout,
            epsilon: 1e-5,
            skip_scale: 1.0,
            modulates: true,
            projects_resampled: false,
            head_channels: Some(64),
            resample_filter: vec![1, 1],
            usual: Init::FanIn,
            silent: Init::Zero,
            attention: Init::FanIn,
        }
    }

    /// Heads of an attention layer, rounded down: with fewer channels than one head has there is none, and the layer is
    /// left out.
    pub(crate) fn heads(&self, channels: i64) -> i64 {
        self.head_channels.map_or(1, |width| channels / width)
    }

    /// A normalization with [`edm_groups`].
    pub(crate) fn norm(&self, builder: &mut Builder<'_>, name: &str, channels: i64) -> GroupNorm {
        GroupNorm::new(builder, name, channels, edm_groups(channels), self.epsilon)
    }
}

/// The number of normalization groups in EDM's networks: four channels or more in each, 32 groups at most.
pub(crate) fn edm_groups(channels: i64) -> i64 {
    (channels / 4).min(32)
}
