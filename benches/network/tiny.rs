//! The quickstart's network.

use fewstep::prelude::*;

/// The quickstart's network: so small that the overhead of launching operations counts, not their arithmetic.
pub(crate) fn tiny() -> SongUnetConfig {
    SongUnetConfig {
        img_resolution: 16,
        label_dim: 12,
        model_channels: 16,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![8],
        dropout: 0.0,
        ..SongUnetConfig::default()
    }
}
