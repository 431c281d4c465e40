//! A network for pictures of CIFAR-10's size.

use fewstep::prelude::*;

/// What two CPU cores can train within an hour.
pub(crate) fn small(classes: i64) -> SongUnetConfig {
    SongUnetConfig {
        label_dim: classes,
        model_channels: 32,
        channel_mult: vec![1, 2, 2],
        num_blocks: 2,
        dropout: 0.0,
        ..SongUnetConfig::default()
    }
}
