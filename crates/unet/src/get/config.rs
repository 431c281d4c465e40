//! The sizes that make a generative equilibrium transformer.

use super::Get;
use crate::Result;
use crate::builder::Builder;
use crate::check::{in_range, multiple_of};
use serde::{Deserialize, Serialize};

/// Configuration of a [`Get`], with the official field names.
///
/// The defaults are those of GET-S for unconditional CIFAR-10.
///
/// # Source
/// Geng, Pokle & Kolter 2023, arXiv:2401.08639, table 1; official `models/get.py`.
///
/// # Example
/// ```
/// use unet::GetConfig;
/// assert_eq!(GetConfig::small().parameter_count()?, 37_042_188);
/// let config: GetConfig = serde_json::from_str(r#"{"num_heads": 7}"#)?;
/// assert!(config.validate().unwrap_err().to_string().contains("7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GetConfig {
    /// Height and width of the images, in pixels.
    pub input_size: i64,
    /// Height and width of a patch, which becomes one token.
    pub patch_size: i64,
    /// Channels of the images, in and out.
    pub in_channels: i64,
    /// Channels of a token.
    pub hidden_size: i64,
    /// Blocks of the injection transformer, which runs once.
    pub depth: i64,
    /// Blocks of the equilibrium transformer, which is iterated.
    pub deq_depth: i64,
    /// Attention heads of every block.
    pub num_heads: i64,
    /// Width of the injection transformer's perceptrons in units of `hidden_size`.
    pub mlp_ratio: f64,
    /// Width of the equilibrium transformer's perceptrons in units of `hidden_size`.
    pub deq_mlp_ratio: f64,
    /// Number of classes; 0 for an unconditional network.
    pub num_classes: i64,
}

impl Default for GetConfig {
    fn default() -> Self {
        Self {
            input_size: 32,
            patch_size: 2,
            in_channels: 3,
            hidden_size: 512,
            depth: 6,
            deq_depth: 3,
            num_heads: 8,
            mlp_ratio: 4.0,
            deq_mlp_ratio: 8.0,
            num_classes: 0,
        }
    }
}

impl GetConfig {
    /// GET-T.
    pub fn tiny() -> Self {
        Self { hidden_size: 256, num_heads: 4, deq_mlp_ratio: 6.0, ..Self::default() }
    }

    /// GET-M.
    pub fn mini() -> Self {
        Self { hidden_size: 384, num_heads: 6, deq_mlp_ratio: 6.0, ..Self::default() }
    }

    /// GET-S.
    pub fn small() -> Self {
        Self::default()
    }

    /// GET-B: one injection block, wide equilibrium blocks.
    pub fn base() -> Self {
        Self { depth: 1, deq_mlp_ratio: 12.0, ..Self::base_plus() }
    }

    /// GET-B+.
    pub fn base_plus() -> Self {
        Self { hidden_size: 768, num_heads: 12, ..Self::default() }
    }

    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) or [`Error::Indivisible`](crate::Error::Indivisible), for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        in_range("input_size", self.input_size, 1, 1 << 12)?;
        in_range("patch_size", self.patch_size, 1, self.input_size)?;
        in_range("in_channels", self.in_channels, 1, 1 << 12)?;
        in_range("hidden_size", self.hidden_size, 4, 1 << 14)?;
        in_range("depth", self.depth, 0, 1 << 10)?;
        in_range("deq_depth", self.deq_depth, 1, 1 << 6)?;
        in_range("num_heads", self.num_heads, 1, self.hidden_size)?;
        in_range("num_classes", self.num_classes, 0, 1 << 20)?;
        for (field, ratio) in [("mlp_ratio", self.mlp_ratio), ("deq_mlp_ratio", self.deq_mlp_ratio)]
        {
            in_range(field, if ratio.is_finite() { ratio.floor() as i64 } else { -1 }, 1, 64)?;
        }
        multiple_of("input_size", self.input_size, "patch_size", self.patch_size)?;
        multiple_of("hidden_size", self.hidden_size, "num_heads", self.num_heads)?;
        multiple_of("hidden_size", self.hidden_size, "halves of sines and cosines of two axes", 4)
    }

    /// Number of trained values, found without building the network. The table of positions is not among them.
    ///
    /// # Errors
    /// As [`GetConfig::validate`].
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(Get::build(self, Builder::outline())?.parameters().count() as u64)
    }

    /// Patches along one side of an image.
    pub(super) fn patches(&self) -> i64 {
        self.input_size / self.patch_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_have_the_sizes_of_the_paper() {
        for (config, millions) in [
            (GetConfig::tiny(), 8.6),
            (GetConfig::mini(), 19.2),
            (GetConfig::small(), 37.2),
            (GetConfig::base(), 62.2),
            (GetConfig::base_plus(), 83.5),
        ] {
            let found = config.parameter_count().unwrap() as f64 / 1e6;
            assert!((found - millions).abs() < 0.25, "{found} of {millions}");
        }
    }

    #[test]
    fn impossible_values_are_named() {
        let error = |change: fn(&mut GetConfig)| {
            let mut config = GetConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(error(|c| c.patch_size = 5).contains("`input_size` is 32"));
        assert!(error(|c| c.patch_size = 64).contains("`patch_size` is 64"));
        assert!(error(|c| c.num_heads = 3).contains("num_heads"));
        assert!(error(|c| c.hidden_size = 516).contains("num_heads"));
        assert!(error(|c| c.deq_mlp_ratio = f64::NAN).contains("`deq_mlp_ratio`"));
        assert!(error(|c| c.deq_depth = 0).contains("`deq_depth`"));
    }
}
