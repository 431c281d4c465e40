//! ADM as guided-diffusion and consistency models have it.

mod adm_names;
mod config;
mod embedding;
mod layer;
mod layout;
mod presets;
mod resize;
mod to_adm;
mod validate;

pub use config::{GuidedFlavor, GuidedUnetConfig};
pub(crate) use embedding::TimeEmbedding;
pub(crate) use layer::{Decoder, Layer, Readout, encode};
pub(crate) use layout::Layout;

use crate::Result;
use crate::blocks::{Pass, unbroken};
use crate::builder::{Builder, Built, channels_last};
use crate::capabilities::{copied, embedded, taps};
use crate::check::assert_image;
use diffusion_core::{AttentionSite, Backbone, Cond, FeatureSite, Noise, Parameters, shape};
use embedding::ClassTable;
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// The U-Net of Dhariwal and Nichol: ADM, with the state dict of guided-diffusion or of `consistency_models`.
///
/// The raw network `F(x, c_noise)`. Names, shapes and order of its [`Parameters`] are those of the official state dict,
/// so official weights load as they are. [`DhariwalUnet`](crate::DhariwalUnet) is the same network with the names of EDM.
///
/// A network with `out_channels` of twice the images' answers with the noise and with what interpolates the logarithm
/// of the variance, one behind the other.
///
/// # Source
/// Dhariwal & Nichol 2021, arXiv:2105.05233; Song et al. 2023, arXiv:2303.01469; official `UNetModel` in
/// `guided_diffusion/unet.py` and `cm/unet.py`.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Noise};
/// use unet::{GuidedUnet, GuidedUnetConfig};
/// let config = GuidedUnetConfig {
///     image_size: 8,
///     model_channels: 32,
///     num_res_blocks: 1,
///     channel_mult: vec![1.0, 2.0],
///     ..GuidedUnetConfig::default()
/// };
/// let network = GuidedUnet::new(&config, &mut Noise::new(7), tch::Device::Cpu)?;
/// assert_eq!(network.parameters().iter().next().unwrap().name, "time_embed.0.weight");
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct GuidedUnet {
    config: GuidedUnetConfig,
    time: TimeEmbedding,
    time_site: FeatureSite,
    classes: Option<ClassTable>,
    encoder: Vec<Layer>,
    decoder: Decoder,
    parameters: Parameters,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
    recomputes: Cell<bool>,
}

impl GuidedUnet {
    /// A network with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// The last layer of every residual branch starts at zero, and so does the output.
    ///
    /// # Errors
    /// As [`GuidedUnetConfig::validate`].
    pub fn new(config: &GuidedUnetConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`GuidedUnetConfig::validate`].
    pub fn zeroed(config: &GuidedUnetConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &GuidedUnetConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let layout = Layout::new(config);
        let time = TimeEmbedding::new(&mut builder, config);
        let time_site = builder.feature_site("time_embed");
        let table = |classes| ClassTable::new(&mut builder, classes, config.emb_channels());
        let classes = config.num_classes.map(table);
        let style = config.style();
        let encoder = Layer::list(&mut builder, "input_blocks", &layout.input, style);
        let middle = Layer::new(&mut builder, "middle_block", &layout.middle, style);
        let layers = Layer::list(&mut builder, "output_blocks", &layout.output, style);
        let channels = [config.level_channels(0), config.out_channels];
        let readout = Readout::new(&mut builder, "out", channels);
        let Built { parameters, feature_sites, attention_sites } = builder.finish();
        Ok(Self {
            config: config.clone(),
            time,
            time_site,
            classes,
            encoder,
            decoder: Decoder { middle, layers, readout },
            parameters,
            feature_sites,
            attention_sites,
            recomputes: Cell::new(false),
        })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &GuidedUnetConfig {
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
        assert_image(x, self.config.in_channels, self.config.image_size);
        shape::assert_per_image("c_noise", c_noise, x);
        let emb = self.time.forward(c_noise);
        pass.show(&self.time_site, &emb)?;
        let emb = match &self.classes {
            Some(classes) => emb + classes.forward(cond, x.size()[0]),
            None => emb,
        };
        let emb = pass.shifted(emb).silu();
        let skips = encode(&self.encoder, &channels_last(x), &[&emb], pass)?;
        self.decoder.forward(skips, &[&emb], pass)
    }
}

impl Backbone for GuidedUnet {
    /// # Panics
    /// If `x` is not `[B, in_channels, image_size, image_size]`, `c_noise` not `[B]`, or the labels of a network with
    /// classes are missing or not `[B, num_classes]`; a row of zeros is no class. A network without classes ignores labels.
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
        self.encoder.iter().for_each(Layer::prepare);
        self.decoder.prepare();
    }

    /// Segments are the residual blocks and the attention layers.
    fn recompute(&self, on: bool) {
        self.recomputes.set(on);
    }
}

taps!(
    GuidedUnet,
    "The noise level's embedding `time_embed` and every entry of `input_blocks`, `middle_block` and `output_blocks`."
);
copied!(GuidedUnet);
embedded!(GuidedUnet);
