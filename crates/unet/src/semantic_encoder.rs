//! What an image is about, as one vector.

use crate::blocks::{
    Block, GUIDED_GROUPS, GroupNorm, GuidedAttention, GuidedAttentionShape, HalvingConv, Linear,
    Pass, QkvOrder, guided_norm,
};
use crate::builder::{Builder, Init, channels_last};
use crate::check::{in_range, multiple_of};
use crate::{Error, Result};
use diffusion_core::{Noise, Parameters};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// Configuration of a [`SemanticEncoder`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticEncoderConfig {
    /// Height and width of the images, in pixels.
    pub image_size: i64,
    /// Channels after each convolution; each halves the resolution.
    pub channels: Vec<i64>,
    /// The number of the convolution, from 0, behind which the encoder attends.
    pub attention_after: usize,
    /// Heads of the attention.
    pub num_heads: i64,
    /// Width of the answer.
    pub latent_dim: i64,
}

impl SemanticEncoderConfig {
    /// PDAE's encoder of faces, for images of 64 × 64: four convolutions, attention at 16 × 16.
    pub fn pdae64(latent_dim: i64) -> Self {
        let channels = vec![64, 128, 128, 128];
        Self { image_size: 64, channels, attention_after: 1, num_heads: 4, latent_dim }
    }

    /// SFERD's encoder, for images of 128 × 128: five convolutions, attention at 16 × 16.
    pub fn sferd128(latent_dim: i64) -> Self {
        let channels = vec![64, 128, 256, 256, 256];
        Self { image_size: 128, channels, attention_after: 2, num_heads: 4, latent_dim }
    }

    /// Checks that an encoder with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Indivisible`] or [`Error::IndivisibleGroups`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        let levels = self.channels.len() as i64;
        in_range("number of values in `channels`", levels, 1, 16)?;
        in_range("image_size", self.image_size, 1 << levels, 1 << 16)?;
        in_range("attention_after", self.attention_after as i64, 0, levels - 1)?;
        in_range("num_heads", self.num_heads, 1, 1 << 10)?;
        in_range("latent_dim", self.latent_dim, 1, 1 << 16)?;
        for (number, &channels) in self.channels.iter().enumerate() {
            in_range("channels", channels, 1, 1 << 14)?;
            if channels % GUIDED_GROUPS != 0 {
                let layer = format!("convolution {number}");
                return Err(Error::IndivisibleGroups { layer, channels, groups: GUIDED_GROUPS });
            }
        }
        multiple_of("image_size", self.image_size, "one halving a convolution", 1 << levels)?;
        multiple_of("channels", self.channels[self.attention_after], "num_heads", self.num_heads)
    }

    /// Values of the last image, flattened.
    fn flat(&self) -> i64 {
        let side = self.image_size >> self.channels.len();
        self.channels.last().expect("validated") * side * side
    }
}

/// The semantic encoder of diffusion autoencoders: `z = E(x0)`.
///
/// ```text
/// for each convolution:  h = silu(norm([attention](conv(h))))
/// z = linear(flatten(h))
/// ```
///
/// Names are those of the official `nn.Sequential` called `encoder`, in which activations count.
///
/// # Source
/// Zhang et al. 2022, arXiv:2212.12990 (PDAE); Zhou et al. 2024, arXiv:2311.03830 (SFERD); official PDAE,
/// `model/representation_learning/encoder/celeba64.py`, and the listing in SFERD's `scripts/script_util.py`.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use unet::{SemanticEncoder, SemanticEncoderConfig};
/// let config = SemanticEncoderConfig::pdae64(512);
/// let encoder = SemanticEncoder::new(&config, &mut Noise::new(1), tch::Device::Cpu)?;
/// let images = Noise::new(2).normal(&[2, 3, 64, 64]);
/// assert_eq!(encoder.forward(&images).size(), [2, 512]);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct SemanticEncoder {
    config: SemanticEncoderConfig,
    levels: Vec<Level>,
    linear: Linear,
    parameters: Parameters,
}

#[derive(Debug)]
struct Level {
    conv: HalvingConv,
    attention: Option<GuidedAttention>,
    norm: GroupNorm,
}

impl SemanticEncoder {
    /// An encoder with the official initial weights, drawn from `noise`. The attention starts silent.
    ///
    /// # Errors
    /// As [`SemanticEncoderConfig::validate`].
    pub fn new(config: &SemanticEncoderConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// An encoder whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`SemanticEncoderConfig::validate`].
    pub fn zeroed(config: &SemanticEncoderConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &SemanticEncoderConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let mut names = (0..).map(|index: usize| format!("encoder.{index}"));
        let mut name = || names.next().expect("there is no last number");
        let mut from = 3;
        let mut levels = Vec::new();
        for (number, &to) in config.channels.iter().enumerate() {
            let conv = HalvingConv::new(&mut builder, &name(), [from, to]);
            let (heads, order) = (config.num_heads, QkvOrder::HeadPartChannel);
            let shape = GuidedAttentionShape { channels: to, heads, order, axes: 1 };
            let attention = (number == config.attention_after)
                .then(|| GuidedAttention::new(&mut builder, &name(), shape));
            let norm = guided_norm(&mut builder, &name(), to);
            let _activation = name();
            levels.push(Level { conv, attention, norm });
            from = to;
        }
        let _flattening = name();
        let features = [config.flat(), config.latent_dim];
        let linear = Linear::new(&mut builder, &name(), features, Init::FanIn);
        let parameters = builder.finish().parameters;
        Ok(Self { config: config.clone(), levels, linear, parameters })
    }

    /// The configuration the encoder was built with.
    pub fn config(&self) -> &SemanticEncoderConfig {
        &self.config
    }

    /// The named tensors, in the official order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `x`: `[B, 3, image_size, image_size]`, clean images in `[-1, 1]`; returns `[B, latent_dim]`.
    ///
    /// # Panics
    /// If `x` has another shape.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (found, size) = (x.size(), self.config.image_size);
        assert!(
            found.len() == 4 && found[1..] == [3, size, size],
            "`x` has shape {found:?}; this encoder needs [B, 3, {size}, {size}]"
        );
        let level = |h: Tensor, level: &Level| {
            let h = level.conv.forward(&h);
            let attended = level
                .attention
                .as_ref()
                .map(|attention| attention.forward(&[h.shallow_clone()], &mut Pass::new(None)));
            level.norm.forward_silu(attended.as_ref().unwrap_or(&h))
        };
        let last = self.levels.iter().fold(channels_last(x), level);
        self.linear.forward(&last.contiguous().flatten(1, -1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_dict(config: &SemanticEncoderConfig) -> Vec<String> {
        let encoder = SemanticEncoder::build(config, Builder::outline()).unwrap();
        let line = |entry: &diffusion_core::Parameter| {
            format!("{} {:?} float32", entry.name, entry.tensor.size())
        };
        encoder.parameters.iter().map(line).collect()
    }

    #[test]
    fn the_encoder_of_64_pixels_has_the_official_names() {
        let list = include_str!("../tests/state_dicts/pdae_encoder64.txt");
        assert_eq!(
            state_dict(&SemanticEncoderConfig::pdae64(512)),
            list.lines().collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_encoder_of_128_pixels_has_the_listed_names() {
        let found = state_dict(&SemanticEncoderConfig::sferd128(512));
        for line in [
            "encoder.6.weight [256, 128, 3, 3] float32",
            "encoder.7.qkv.weight [768, 256, 1] float32",
            "encoder.8.weight [256] float32",
            "encoder.13.weight [256, 256, 3, 3] float32",
            "encoder.17.weight [512, 4096] float32",
        ] {
            assert!(found.iter().any(|found| found == line), "{line}: {found:#?}");
        }
    }

    #[test]
    fn gradients_reach_every_parameter_that_is_not_silent() {
        let config = SemanticEncoderConfig { latent_dim: 4, ..SemanticEncoderConfig::pdae64(4) };
        let encoder = SemanticEncoder::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
        let x = Noise::new(2).normal(&[1, 3, 64, 64]);
        encoder.forward(&x).square().sum(tch::Kind::Float).backward();
        for entry in encoder.parameters.trained().filter(|entry| !entry.name.contains("4.qkv")) {
            let is_behind_silence = entry.name.contains("4.norm");
            let grad = entry.tensor.grad();
            let largest = grad.abs().max().double_value(&[]);
            assert!(largest > 0.0 || is_behind_silence, "{}", entry.name);
        }
    }

    #[test]
    fn impossible_values_are_named() {
        let error = |change: fn(&mut SemanticEncoderConfig)| {
            let mut config = SemanticEncoderConfig::pdae64(16);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(error(|c| c.image_size = 40).contains("`image_size` is 40"));
        assert!(error(|c| c.channels[2] = 100).contains("100 channels"));
        assert!(error(|c| c.attention_after = 4).contains("`attention_after` is 4"));
        assert!(error(|c| c.num_heads = 3).contains("num_heads"));
    }
}
