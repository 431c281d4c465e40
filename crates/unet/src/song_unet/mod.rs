//! DDPM++ and NCSN++ as EDM trains them.

mod config;
mod mapping;

pub use config::{EmbeddingType, SongUnetConfig};

use crate::Result;
use crate::blocks::{BlockStyle, Pass, unbroken};
use crate::builder::{Builder, Built};
use crate::capabilities::{copied, embedded, taps};
use crate::check::assert_image;
use crate::trunk::Trunk;
use diffusion_core::{AttentionSite, Backbone, Cond, FeatureSite, Noise, Parameters, shape};
use mapping::Mapping;
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// The official name of the network inside its preconditioning.
const PREFIX: &str = "model";

/// The U-Net of Song et al., as Karras et al. train it: DDPM++ and NCSN++.
///
/// The raw network `F(x, c_noise)`. Names, shapes and order of its [`Parameters`] are those of the official state
/// dict, prefix `model.` included, so official weights load as they are. The buffers `resample_filter` are part of the
/// state dict, but their values follow from the configuration and are not read. The buffer `model.map_noise.freqs` of
/// NCSN++ follows from nothing: a fresh network draws it, and a file or a twin's original gives it.
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
    trunk: Trunk,
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
        let style =
            BlockStyle::song(config.emb_channels(), config.dropout, &config.resample_filter);
        let trunk = Trunk::new(&mut builder, PREFIX, &config.sizes(), &style);
        let Built { parameters, feature_sites, attention_sites } = builder.finish();
        Ok(Self {
            config: config.clone(),
            mapping,
            mapped,
            trunk,
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

    fn embedding_channels(&self) -> i64 {
        self.config.emb_channels()
    }

    fn evaluate(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        assert_image(x, self.config.img_channels, self.config.img_resolution);
        shape::assert_per_image("c_noise", c_noise, x);
        let emb = self.mapping.forward(c_noise, cond, pass);
        pass.show(&self.mapped, &emb)?;
        let answer = self.trunk.forward(x, &pass.shifted(emb).silu(), pass)?.branch;
        let answer = answer.expect("the finest level of the decoder answers with an image");
        ControlFlow::Continue(answer.contiguous())
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
        Box::new(self.copy())
    }

    /// On the CPU: four times the memory of the 3 × 3 weights, and lower latency for small batches.
    fn prepare(&self) {
        self.trunk.prepare();
    }

    /// Segments are the residual blocks.
    fn recompute(&self, on: bool) {
        self.recomputes.set(on);
    }
}

taps!(SongUnet, "The embedding `model.map_layer1` and every layer of encoder and decoder.");
copied!(SongUnet);
embedded!(SongUnet);
