//! Every network of this crate that can stand inside a denoiser.

use crate::Result;
use crate::builder::Builder;
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
