//! The autoencoder of Stable Diffusion as diffusers publishes it.

mod config;
mod half;
mod latents;

pub use config::AutoencoderKlConfig;
pub use latents::LatentDistribution;

use crate::Result;
use crate::blocks::{Conv2d, Resample};
use crate::builder::{Builder, Init};
use diffusion_core::{Noise, Parameter, Parameters};
use half::Half;
use tch::{Device, Tensor};

/// The autoencoder that diffusers calls `AutoencoderKL`.
///
/// Encodes images to the latents that a diffusion model works on, and decodes them. Its `config.json` is an
/// [`AutoencoderKlConfig`]; names, shapes and order of its [`Parameters`] are those of the official state dict, so that
/// [`Parameters::load_file`] reads its weights.
///
/// # Units
/// Images in `[-1, 1]`. Latents as the network has them; [`AutoencoderKl::normalize`] brings them into the unit of the
/// diffusion model.
///
/// # Source
/// Rombach et al. 2022, arXiv:2112.10752; `AutoencoderKL` of the library diffusers.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use unet::{AutoencoderKl, AutoencoderKlConfig};
/// let config = AutoencoderKlConfig {
///     block_out_channels: vec![8, 8, 16, 16],
///     norm_num_groups: 4,
///     ..AutoencoderKlConfig::sd()
/// };
/// let mut noise = Noise::new(1);
/// let autoencoder = AutoencoderKl::new(&config, &mut noise, tch::Device::Cpu)?;
/// let images = noise.normal(&[2, 3, 16, 16]);
/// let latents = autoencoder.normalize(&autoencoder.encode(&images).sample(&mut noise));
/// assert_eq!(latents.size(), [2, 4, 2, 2]);
/// let decoded = autoencoder.decode(&autoencoder.denormalize(&latents));
/// assert_eq!(decoded.size(), [2, 3, 16, 16]);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct AutoencoderKl {
    config: AutoencoderKlConfig,
    encoder: Half,
    decoder: Half,
    quant_conv: Option<Conv2d>,
    post_quant_conv: Option<Conv2d>,
    parameters: Parameters,
}

impl AutoencoderKl {
    /// An autoencoder with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// # Errors
    /// As [`AutoencoderKlConfig::validate`].
    pub fn new(config: &AutoencoderKlConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// An autoencoder whose weights are zero, to be loaded.
    ///
    /// # Errors
    /// As [`AutoencoderKlConfig::validate`].
    pub fn zeroed(config: &AutoencoderKlConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    /// Names and shapes of the state dict, in the official order, found without taking memory for it.
    ///
    /// # Errors
    /// As [`AutoencoderKlConfig::validate`].
    ///
    /// # Example
    /// ```
    /// use unet::{AutoencoderKl, AutoencoderKlConfig};
    /// assert_eq!(AutoencoderKl::state_dict(&AutoencoderKlConfig::sd())?.len(), 248);
    /// # Ok::<(), unet::Error>(())
    /// ```
    pub fn state_dict(config: &AutoencoderKlConfig) -> Result<Vec<(String, Vec<i64>)>> {
        let outline = Self::build(config, Builder::outline())?;
        let line = |entry: &Parameter| (entry.name.clone(), entry.tensor.size());
        Ok(outline.parameters.iter().map(line).collect())
    }

    pub(crate) fn build(config: &AutoencoderKlConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let encoder = Half::encoder(&mut builder, config);
        let decoder = Half::decoder(&mut builder, config);
        let latents = config.latent_channels;
        let mut pointwise = |name, channels| {
            Conv2d::new(&mut builder, name, [channels, channels], 1, Resample::Keep, Init::FanIn)
        };
        let quant_conv = config.use_quant_conv.then(|| pointwise("quant_conv", 2 * latents));
        let post_quant_conv =
            config.use_post_quant_conv.then(|| pointwise("post_quant_conv", latents));
        let (config, parameters) = (config.clone(), builder.finish().parameters);
        Ok(Self { config, encoder, decoder, quant_conv, post_quant_conv, parameters })
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &AutoencoderKlConfig {
        &self.config
    }

    /// The named tensors, in the official order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The distribution of the latents of `images`, `[B, in_channels, H, W]`; latents have the resolution divided by
    /// [`AutoencoderKlConfig::downsampling`].
    ///
    /// # Panics
    /// If height or width are not multiples of that, or the channels are others.
    pub fn encode(&self, images: &Tensor) -> LatentDistribution {
        assert_image("images", images, self.config.in_channels, self.config.downsampling());
        let moments = self.encoder.forward(images);
        let convolved = self.quant_conv.as_ref().map(|conv| conv.forward(&moments));
        LatentDistribution::new(convolved.as_ref().unwrap_or(&moments))
    }

    /// The images of `latents`, `[B, latent_channels, h, w]`, in the autoencoder's unit.
    ///
    /// # Panics
    /// If the channels are others.
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        assert_image("latents", latents, self.config.latent_channels, 1);
        let convolved = self.post_quant_conv.as_ref().map(|conv| conv.forward(latents));
        self.decoder.forward(convolved.as_ref().unwrap_or(latents)).contiguous()
    }

    /// Latents in the unit of the diffusion model: `(latents − shift_factor) · scaling_factor`.
    pub fn normalize(&self, latents: &Tensor) -> Tensor {
        (latents - self.config.shift_factor.unwrap_or(0.0)) * self.config.scaling_factor
    }

    /// Latents in the unit of the autoencoder: `latents / scaling_factor + shift_factor`.
    pub fn denormalize(&self, latents: &Tensor) -> Tensor {
        latents / self.config.scaling_factor + self.config.shift_factor.unwrap_or(0.0)
    }

    /// Gets ready for many evaluations with the weights as they are, at the price of memory. Changes no result to more
    /// than rounding; changing the weights undoes it.
    pub fn prepare(&self) {
        self.encoder.prepare();
        self.decoder.prepare();
    }
}

fn assert_image(name: &str, x: &Tensor, channels: i64, multiple: i64) {
    let found = x.size();
    assert!(
        found.len() == 4 && found[1] == channels && found[2..].iter().all(|n| n % multiple == 0),
        "`{name}` have shape {found:?}; this autoencoder needs [B, {channels}, H, W], height and width multiples of {multiple}"
    );
}
