//! DDPM++ as EDM trains it.

mod config;
mod layer;
mod layout;
mod mapping;

pub use config::{DecoderType, EmbeddingType, EncoderType, SongUnetConfig};

use crate::Result;
use crate::blocks::{Conv2d, GroupNorm, Pass, Resample, edm_norm, unbroken};
use crate::builder::{Builder, Built, Init, channels_last};
use diffusion_core::{
    AttentionSite, AttentionTap, AttentionTaps, Backbone, Cond, FeatureSite, FeatureTap,
    FeatureTaps, Noise, Parameters, Part, shape,
};
use layer::Layer;
use layout::Row;
use mapping::Mapping;
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// The official name of the network inside its preconditioning.
const PREFIX: &str = "model";

/// The U-Net of Song et al., as Karras et al. train it: DDPM++.
///
/// The raw network `F(x, c_noise)`. Names, shapes and order of its [`Parameters`] are those of the official state
/// dict, prefix `model.` included, so official weights load as they are. The buffers `resample_filter` are part of the
/// state dict, but their values follow from the configuration and are not read.
///
/// # Source
/// Song et al. 2021, arXiv:2011.13456; Karras et al. 2022, arXiv:2206.00364; official `SongUNet` in
/// `training/networks.py`.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Noise};
/// use unet::{SongUnet, SongUnetConfig};
/// let config = SongUnetConfig { model_channels: 8, num_blocks: 1, ..SongUnetConfig::cifar10(10) };
/// let network = SongUnet::new(&config, &mut Noise::new(7), tch::Device::Cpu)?;
/// let name = &network.parameters().iter().next().unwrap().name;
/// assert_eq!(name, "model.map_label.weight");
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct SongUnet {
    config: SongUnetConfig,
    mapping: Mapping,
    mapped: FeatureSite,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
    aux_norm: GroupNorm,
    aux_conv: Conv2d,
    parameters: Parameters,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
    recomputes: Cell<bool>,
}

impl SongUnet {
    /// A network with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// The last layer of every residual branch starts nearly at zero, and so does the output.
    ///
    /// # Errors
    /// As [`SongUnetConfig::validate`].
    pub fn new(config: &SongUnetConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`SongUnetConfig::validate`].
    pub fn zeroed(config: &SongUnetConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &SongUnetConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let mapping = Mapping::new(&mut builder, PREFIX, config);
        let mapped = builder.feature_site(&format!("{PREFIX}.map_layer1"));
        let encoder = layout::encoder(config);
        let decoder = layout::decoder(config, &encoder);
        let mut layers = |half: &str, rows: Vec<Row>| -> Vec<Layer> {
            rows.into_iter().map(|row| Layer::new(&mut builder, half, row, config)).collect()
        };
        let (encoder, decoder) = (layers("enc", encoder), layers("dec", decoder));
        builder.enter(Part::Decoder);
        let aux = format!("{PREFIX}.dec.{}_aux", layout::name(config, 0));
        let channels = config.channel_mult[0] * config.model_channels;
        let (to_image, silent) = ([channels, config.img_channels], Init::Glorot(1e-5));
        let aux_norm = edm_norm(&mut builder, &format!("{aux}_norm"), channels);
        let aux_conv =
            Conv2d::new(&mut builder, &format!("{aux}_conv"), to_image, 3, Resample::Keep, silent);
        let Built { parameters, feature_sites, attention_sites } = builder.finish();
        Ok(Self {
            config: config.clone(),
            mapping,
            mapped,
            encoder,
            decoder,
            aux_norm,
            aux_conv,
            parameters,
            feature_sites,
            attention_sites,
            recomputes: Cell::new(false),
        })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &SongUnetConfig {
        &self.config
    }

    fn evaluate(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        self.assert_image(x);
        shape::assert_per_image("c_noise", c_noise, x);
        let emb = self.mapping.forward(c_noise, cond, pass);
        pass.show(&self.mapped, &emb)?;
        let emb = emb.silu();
        let mut x = channels_last(x);
        let mut skips = Vec::with_capacity(self.encoder.len());
        for layer in &self.encoder {
            x = layer.forward(&x, &emb, pass);
            pass.show(&layer.site, &x)?;
            skips.push(x.shallow_clone());
        }
        for layer in &self.decoder {
            if layer.takes_skip {
                let skip = skips.pop().expect("as many encoder layers as blocks that take a skip");
                x = Tensor::cat(&[x, skip], 1);
            }
            x = layer.forward(&x, &emb, pass);
            pass.show(&layer.site, &x)?;
        }
        ControlFlow::Continue(self.aux_conv.forward(&self.aux_norm.forward_silu(&x)).contiguous())
    }

    fn assert_image(&self, x: &Tensor) {
        let (channels, resolution) = (self.config.img_channels, self.config.img_resolution);
        let found = x.size();
        assert!(
            found.len() == 4 && found[1..] == [channels, resolution, resolution],
            "`x` has shape {found:?}; this network needs [B, {channels}, {resolution}, {resolution}]"
        );
    }
}

impl Backbone for SongUnet {
    /// Missing class or augmentation labels count as zeros.
    ///
    /// # Panics
    /// If `x` is not `[B, img_channels, img_resolution, img_resolution]`, `c_noise` not `[B]`, or labels are present
    /// that are not `[B, label_dim]` or `[B, augment_dim]`. A network that knows of no labels ignores them.
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        let mut pass = Pass::new(dropout).recomputing(self.recomputes.get());
        unbroken(self.evaluate(x, c_noise, cond, &mut pass))
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn twin(&self) -> Box<dyn Backbone> {
        let twin = Self::zeroed(&self.config, self.parameters.device());
        let twin = twin.expect("this network was built with the same configuration");
        twin.recomputes.set(self.recomputes.get());
        twin.parameters.copy_from(&self.parameters).expect("both networks have the same tensors");
        Box::new(twin)
    }

    /// On the CPU: four times the memory of the 3 × 3 weights, and lower latency for small batches.
    fn prepare(&self) {
        let layers = self.encoder.iter().chain(&self.decoder);
        layers.for_each(Layer::prepare);
    }

    /// Segments are the residual blocks.
    fn recompute(&self, on: bool) {
        self.recomputes.set(on);
    }
}

impl FeatureTaps for SongUnet {
    /// The embedding `model.map_layer1` and every layer of encoder and decoder.
    fn feature_sites(&self) -> &[FeatureSite] {
        &self.feature_sites
    }

    fn forward_tapped(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut FeatureTap<'_>,
    ) -> Option<Tensor> {
        let mut pass = Pass::new(dropout).recomputing(self.recomputes.get()).showing(tap);
        self.evaluate(x, c_noise, cond, &mut pass).continue_value()
    }
}

impl AttentionTaps for SongUnet {
    fn attention_sites(&self) -> &[AttentionSite] {
        &self.attention_sites
    }

    fn forward_attending(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut dyn AttentionTap,
    ) -> Tensor {
        unbroken(self.evaluate(x, c_noise, cond, &mut Pass::new(dropout).attending(tap)))
    }
}
