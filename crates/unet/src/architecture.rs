//! Every network of this crate that can stand inside a denoiser.

use crate::Result;
use crate::builder::Builder;
use crate::check::{in_range, multiple_of};
use crate::dhariwal_unet::{DhariwalUnet, DhariwalUnetConfig};
use crate::guided_unet::{GuidedUnet, GuidedUnetConfig};
use crate::shift_unet::{ShiftUnet, ShiftUnetConfig};
use crate::song_unet::{SongUnet, SongUnetConfig};
use crate::unet_2d::{Unet2d, Unet2dConfig};
use crate::unet_2d_condition::{Unet2dCondition, Unet2dConditionConfig};
use diffusion_core::{Backbone, Noise, Parameter};
use serde::{Deserialize, Serialize};
use tch::Device;

/// A network's architecture with its sizes, `kind` in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is one for a network
pub enum Architecture {
    /// DDPM++ and NCSN++.
    SongUnet(SongUnetConfig),
    /// ADM, as EDM trains it.
    DhariwalUnet(DhariwalUnetConfig),
    /// ADM with the names of guided-diffusion and `consistency_models`.
    GuidedUnet(GuidedUnetConfig),
    /// SFERD's student with its gradient branch.
    ShiftUnet(ShiftUnetConfig),
    /// DDPM as diffusers publishes it.
    #[serde(rename = "unet-2d-model")]
    Unet2d(Unet2dConfig),
    /// Stable Diffusion as diffusers publishes it.
    #[serde(rename = "unet-2d-condition-model")]
    Unet2dCondition(Unet2dConditionConfig),
}

impl Architecture {
    /// A network with fresh weights drawn from `noise`.
    ///
    /// # Errors
    /// If the configuration is impossible.
    pub fn build(&self, noise: &mut Noise, device: Device) -> Result<Box<dyn Backbone>> {
        self.with(Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be loaded.
    ///
    /// # Errors
    /// If the configuration is impossible.
    pub fn zeroed(&self, device: Device) -> Result<Box<dyn Backbone>> {
        self.with(Builder::zeros(device))
    }

    /// Channels of the images, or of their latents.
    pub fn image_channels(&self) -> i64 {
        match self {
            Self::SongUnet(config) => config.img_channels,
            Self::DhariwalUnet(config) => config.img_channels,
            Self::GuidedUnet(config) => config.in_channels,
            Self::ShiftUnet(config) => config.input_channel,
            Self::Unet2d(config) => config.in_channels,
            Self::Unet2dCondition(config) => config.in_channels,
        }
    }

    /// Height and width of the images, or of their latents: those that the network is built for, or else those that its
    /// configuration says it was trained with.
    pub fn image_size(&self) -> Option<i64> {
        match self {
            Self::SongUnet(config) => Some(config.img_resolution),
            Self::DhariwalUnet(config) => Some(config.img_resolution),
            Self::GuidedUnet(config) => Some(config.image_size),
            Self::ShiftUnet(_) => None,
            Self::Unet2d(config) => config.others.get("sample_size")?.as_i64(),
            Self::Unet2dCondition(config) => config.others.get("sample_size")?.as_i64(),
        }
    }

    /// Checks that the network takes images, or latents, of `size` × `size` pixels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for another size than the only one, or for none at all;
    /// [`Error::Indivisible`](crate::Error::Indivisible) if it cannot be halved for every level after the first.
    ///
    /// # Example
    /// ```
    /// use unet::{Architecture, SongUnetConfig};
    /// let network = Architecture::SongUnet(SongUnetConfig::cifar10(0));
    /// assert!(network.check_image_size(32).is_ok() && network.check_image_size(64).is_err());
    /// ```
    pub fn check_image_size(&self, size: i64) -> Result<()> {
        let (only, multiple) = match self {
            Self::SongUnet(config) => (Some(config.img_resolution), 1),
            Self::DhariwalUnet(config) => (Some(config.img_resolution), 1),
            Self::GuidedUnet(config) => (Some(config.image_size), 1),
            Self::ShiftUnet(config) => (None, config.multiple()),
            Self::Unet2d(config) => (None, config.multiple()),
            Self::Unet2dCondition(_) => (None, 1),
        };
        let (minimum, maximum) = only.map_or((1, 1 << 16), |size| (size, size));
        in_range("image size", size, minimum, maximum)?;
        multiple_of("image size", size, "one halving for every level after the first", multiple)
    }

    /// Number of classes; 0 for a network that knows of none.
    pub fn classes(&self) -> i64 {
        match self {
            Self::SongUnet(config) => config.label_dim,
            Self::DhariwalUnet(config) => config.label_dim,
            Self::GuidedUnet(config) => config.num_classes.unwrap_or(0),
            Self::ShiftUnet(_) => 0,
            Self::Unet2d(config) => config.num_class_embeds.unwrap_or(0),
            Self::Unet2dCondition(config) => config.num_class_embeds.unwrap_or(0),
        }
    }

    /// Whether the network needs a text.
    pub fn needs_text(&self) -> bool {
        matches!(self, Self::Unet2dCondition(_))
    }

    /// Number of trained values, found without taking memory for them.
    ///
    /// # Errors
    /// If the configuration is impossible.
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(self.with(Builder::outline())?.parameters().count() as u64)
    }

    /// Names and shapes of the state dict, in the official order, found without taking memory for it.
    ///
    /// # Errors
    /// If the configuration is impossible.
    ///
    /// # Example
    /// ```
    /// use unet::{Architecture, SongUnetConfig};
    /// let tensors = Architecture::SongUnet(SongUnetConfig::cifar10(0)).state_dict()?;
    /// assert_eq!(tensors.len(), 425);
    /// assert_eq!(tensors[0], ("model.map_augment.weight".to_owned(), vec![128, 9]));
    /// # Ok::<(), unet::Error>(())
    /// ```
    pub fn state_dict(&self) -> Result<Vec<(String, Vec<i64>)>> {
        let network = self.with(Builder::outline())?;
        let line = |entry: &Parameter| (entry.name.clone(), entry.tensor.size());
        Ok(network.parameters().iter().map(line).collect())
    }

    fn with(&self, builder: Builder<'_>) -> Result<Box<dyn Backbone>> {
        Ok(match self {
            Self::SongUnet(config) => Box::new(SongUnet::build(config, builder)?),
            Self::DhariwalUnet(config) => Box::new(DhariwalUnet::build(config, builder)?),
            Self::GuidedUnet(config) => Box::new(GuidedUnet::build(config, builder)?),
            Self::ShiftUnet(config) => Box::new(ShiftUnet::build(config, builder)?),
            Self::Unet2d(config) => Box::new(Unet2d::build(config, builder)?),
            Self::Unet2dCondition(config) => Box::new(Unet2dCondition::build(config, builder)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn sizes_that_a_network_cannot_take_are_named() {
        let fixed = Architecture::GuidedUnet(GuidedUnetConfig::default());
        assert!(fixed.check_image_size(64).is_ok());
        let error = fixed.check_image_size(32).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { value: 32, minimum: 64, .. }), "{error}");
        for free in [
            Architecture::Unet2d(Unet2dConfig::ddpm_cifar10()),
            Architecture::ShiftUnet(ShiftUnetConfig::default()),
        ] {
            assert!(free.check_image_size(16).is_ok());
            let error = free.check_image_size(20).unwrap_err();
            assert!(matches!(error, Error::Indivisible { value: 20, divisor: 8, .. }), "{error}");
            assert!(free.check_image_size(0).is_err() && free.check_image_size(-8).is_err());
        }
        let latents = Architecture::Unet2dCondition(Unet2dConditionConfig::sd15());
        assert!(latents.check_image_size(65).is_ok() && latents.check_image_size(1 << 40).is_err());
    }
}
