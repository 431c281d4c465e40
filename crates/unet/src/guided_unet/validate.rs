//! Which configurations can be built.

use super::config::GuidedUnetConfig;
use super::layout::{Layout, ModuleShape};
use crate::blocks::{GUIDED_GROUPS, GuidedAttentionShape};
use crate::check::{MAX_BLOCKS, in_range, probability};
use crate::{Error, Result};

impl GuidedUnetConfig {
    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::BadProbability`], [`Error::Unsupported`], [`Error::IndivisibleGroups`] or
    /// [`Error::IndivisibleChannels`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.check_ranges()?;
        probability("dropout", self.dropout)?;
        self.check_values()?;
        Layout::new(self).rows().try_for_each(|(name, row)| {
            row.modules.iter().try_for_each(|module| self.check_channels(&name, *module))
        })
    }

    fn check_ranges(&self) -> Result<()> {
        in_range("image_size", self.image_size, 1, 1 << 16)?;
        in_range("in_channels", self.in_channels, 1, 1 << 16)?;
        in_range("model_channels", self.model_channels, 2, 1 << 14)?;
        in_range("out_channels", self.out_channels, 1, 1 << 16)?;
        in_range("num_res_blocks", self.num_res_blocks, 1, MAX_BLOCKS)?;
        in_range("number of values in `channel_mult`", self.channel_mult.len() as i64, 1, 16)?;
        in_range("num_classes", self.num_classes.unwrap_or(1), 1, 1 << 20)?;
        in_range("num_heads", self.num_heads, 1, 1 << 14)
    }

    fn check_values(&self) -> Result<()> {
        let check = |field, value: String, is_known, supported| {
            if is_known { Ok(()) } else { Err(Error::Unsupported { field, value, supported }) }
        };
        let count = |field, value: i64| {
            let is_known = value == -1 || (1..=1 << 14).contains(&value);
            check(field, value.to_string(), is_known, "-1 and numbers from 1 to 16384")
        };
        count("num_head_channels", self.num_head_channels)?;
        count("num_heads_upsample", self.num_heads_upsample)?;
        for mult in &self.channel_mult {
            let is_known = *mult > 0.0 && *mult <= 64.0;
            check("channel_mult", mult.to_string(), is_known, "a number above 0 and up to 64")?;
        }
        let Self { model_channels, image_size, timestep_scale, .. } = self;
        let is_even = model_channels % 2 == 0;
        check("model_channels", model_channels.to_string(), is_even, "an even number")?;
        let halves = image_size % (1 << (self.channel_mult.len() - 1)) == 0;
        let supported = "a size that can be halved once for every level after the first";
        check("image_size", image_size.to_string(), halves, supported)?;
        let is_scale = timestep_scale.is_finite() && *timestep_scale > 0.0;
        check("timestep_scale", timestep_scale.to_string(), is_scale, "a positive number")
    }

    /// Channels must split into normalization groups and attention heads.
    fn check_channels(&self, layer: &str, module: ModuleShape) -> Result<()> {
        let groups = GUIDED_GROUPS;
        let does_not_split = |channels: &i64| *channels < groups || channels % groups != 0;
        if let Some(channels) = module.normalized().into_iter().find(does_not_split) {
            return Err(Error::IndivisibleGroups { layer: layer.into(), channels, groups });
        }
        let ModuleShape::Attention(GuidedAttentionShape { channels, heads, .. }) = module else {
            return Ok(());
        };
        let (field, parts) = match self.num_head_channels {
            -1 => ("num_heads", heads),
            width => ("num_head_channels", width),
        };
        if channels % parts != 0 {
            return Err(Error::IndivisibleChannels { layer: layer.into(), channels, field, parts });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut GuidedUnetConfig)) -> Error {
        let mut config = GuidedUnetConfig::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn impossible_values_are_named() {
        let field = |change: fn(&mut GuidedUnetConfig)| match error(change) {
            Error::OutOfRange { field, .. }
            | Error::BadProbability { field, .. }
            | Error::IndivisibleChannels { field, .. }
            | Error::Unsupported { field, .. } => field,
            other => panic!("{other}"),
        };
        assert_eq!(field(|c| c.image_size = 0), "image_size");
        assert_eq!(field(|c| c.image_size = 28), "image_size");
        assert_eq!(field(|c| c.in_channels = 0), "in_channels");
        assert_eq!(field(|c| c.model_channels = i64::MAX), "model_channels");
        assert_eq!(field(|c| c.model_channels = 65), "model_channels");
        assert_eq!(field(|c| c.out_channels = 0), "out_channels");
        assert_eq!(field(|c| c.num_res_blocks = 0), "num_res_blocks");
        assert_eq!(field(|c| c.channel_mult = vec![]), "number of values in `channel_mult`");
        assert_eq!(field(|c| c.channel_mult = vec![1.0, f64::NAN]), "channel_mult");
        assert_eq!(field(|c| c.channel_mult = vec![1.0, -1.0]), "channel_mult");
        assert_eq!(field(|c| c.num_classes = Some(0)), "num_classes");
        assert_eq!(field(|c| c.num_heads = 0), "num_heads");
        assert_eq!(field(|c| c.num_heads = 3), "num_heads");
        assert_eq!(field(|c| c.num_heads_upsample = 3), "num_heads");
        assert_eq!(field(|c| c.num_heads_upsample = -2), "num_heads_upsample");
        assert_eq!(field(|c| c.num_head_channels = 0), "num_head_channels");
        assert_eq!(field(|c| c.num_head_channels = 96), "num_head_channels");
        assert_eq!(field(|c| c.dropout = 1.0), "dropout");
        assert_eq!(field(|c| c.timestep_scale = 0.0), "timestep_scale");
    }

    #[test]
    fn channels_must_split_into_groups() {
        let groups = |change: fn(&mut GuidedUnetConfig)| match error(change) {
            Error::IndivisibleGroups { layer, channels, groups: 32 } => (layer, channels),
            other => panic!("{other}"),
        };
        let narrow = groups(|c| c.model_channels = 48);
        assert_eq!(narrow, ("input_blocks.1".to_owned(), 48));
        let third = groups(|c| c.channel_mult = vec![1.0, 1.0 / 3.0]); // 42 channels
        assert_eq!(third, ("input_blocks.4".to_owned(), 42));
        assert_eq!(groups(|c| c.channel_mult = vec![0.001]).1, 0);
    }
}
