//! The size of a SongUNet, known before it takes memory.

use super::layout::{self, Row, RowKind};
use crate::blocks::{BlockShape, Resample};
use crate::{Result, SongUnetConfig};

impl SongUnetConfig {
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
        self.validate()?; // keeps the products within 64 bits
        let encoder = layout::encoder(self);
        let decoder = layout::decoder(self, &encoder);
        let emb = self.emb_channels();
        let rows: i64 = encoder.iter().chain(&decoder).map(|row| of_row(row, emb)).sum();
        let channels = self.channel_mult[0] * self.model_channels;
        let to_image = norm(channels) + conv([channels, self.img_channels], 3);
        Ok((of_mapping(self) + rows + to_image).unsigned_abs())
    }
}

fn of_mapping(config: &SongUnetConfig) -> i64 {
    let (noise, emb) = (config.noise_channels(), config.emb_channels());
    let labels = if config.label_dim > 0 { linear([config.label_dim, noise]) } else { 0 };
    labels + config.augment_dim * noise + linear([noise, emb]) + linear([emb, emb])
}

fn of_row(row: &Row, emb: i64) -> i64 {
    match row.kind {
        RowKind::Conv(channels) => conv(channels, 3),
        RowKind::Block(shape) => of_block(shape, emb),
    }
}

fn of_block(shape: BlockShape, emb: i64) -> i64 {
    let BlockShape { in_channels, out_channels, resample, attention } = shape;
    let through = [in_channels, out_channels];
    let branch = norm(in_channels)
        + conv(through, 3)
        + linear([emb, out_channels])
        + norm(out_channels)
        + conv([out_channels, out_channels], 3);
    let needs_skip = in_channels != out_channels || resample != Resample::Keep;
    let skip = if needs_skip { conv(through, 1) } else { 0 };
    let heads = norm(out_channels) + conv([out_channels, 4 * out_channels], 1); // qkv and proj
    branch + skip + if attention { heads } else { 0 }
}

fn norm(channels: i64) -> i64 {
    2 * channels
}

fn conv([from, to]: [i64; 2], kernel: i64) -> i64 {
    from * to * kernel * kernel + to
}

fn linear([from, to]: [i64; 2]) -> i64 {
    from * to + to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SongUnet;
    use diffusion_core::Backbone;
    use tch::Device;

    #[test]
    fn the_count_is_that_of_the_network() {
        let small =
            SongUnetConfig { model_channels: 8, num_blocks: 1, ..SongUnetConfig::default() };
        for config in [
            SongUnetConfig { label_dim: 3, augment_dim: 9, ..small.clone() },
            SongUnetConfig { channel_mult: vec![3], img_channels: 1, ..small.clone() },
            SongUnetConfig { num_blocks: 2, attn_resolutions: vec![32, 8], ..small.clone() },
            SongUnetConfig { channel_mult_noise: 2, channel_mult_emb: 3, ..small },
        ] {
            let network = SongUnet::zeroed(&config, Device::Cpu).unwrap();
            let expected = network.parameters().count() as u64;
            assert_eq!(config.parameter_count().unwrap(), expected, "{config:?}");
        }
    }
}
