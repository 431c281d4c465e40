//! SFERD's student with a semantic gradient predictor.

mod branch;
mod config;

pub use config::ShiftUnetConfig;

use crate::Result;
use crate::blocks::{Linear, Pass, unbroken};
use crate::builder::{Builder, Built, Init, channels_last};
use crate::capabilities::{copied, taps};
use crate::guided_unet::{Decoder, Layer, Layout, Readout, TimeEmbedding, encode};
use diffusion_core::{AttentionSite, Backbone, Cond, FeatureSite, Noise, Parameters, shape};
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// A student network with a second decoder that predicts where a semantic code pulls its answer.
///
/// Both decoders read the same features of one encoder:
///
/// ```text
/// features   = encoder(x, emb)
/// prediction = decoder(features, emb)                 the student
/// gradient   = shift_decoder(features, emb, z)        plays ∇ log p(z | x)
/// ```
///
/// As a [`Backbone`] it is the student alone; [`ShiftUnet::forward_with_gradient`] gives both. The student is trained
/// first and frozen then: [`ShiftUnet::student`] and [`ShiftUnet::branch`] split the tensors, and
/// [`ShiftUnet::copy_student`] takes a student that was trained as a [`GuidedUnet`](crate::GuidedUnet). Names, shapes and
/// order of its [`Parameters`] are those of the official state dict.
///
/// The last layers start at zero, so a fresh branch shifts nothing.
///
/// # Source
/// Zhou et al. 2024, arXiv:2311.03830; official `ShiftUNet` in `unet/student_unet.py`.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use tch::{Device, Kind, Tensor};
/// use unet::{ShiftUnet, ShiftUnetConfig};
/// let config = ShiftUnetConfig { base_channel: 32, latent_dim: 8, ..ShiftUnetConfig::default() };
/// let network = ShiftUnet::new(&config, &mut Noise::new(1), Device::Cpu)?;
/// let (x, z) = (Noise::new(2).normal(&[1, 3, 8, 8]), Noise::new(3).normal(&[1, 8]));
/// let (_, gradient) = network.forward_with_gradient(&x, &Tensor::from_slice(&[5f32]), &z, None);
/// assert_eq!(gradient, x.zeros_like());
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct ShiftUnet {
    config: ShiftUnetConfig,
    time: TimeEmbedding,
    time_site: FeatureSite,
    code: Linear,
    encoder: Vec<Layer>,
    decoder: Decoder,
    shift: Decoder,
    parameters: Parameters,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
    recomputes: Cell<bool>,
}

impl ShiftUnet {
    /// A network with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// # Errors
    /// As [`ShiftUnetConfig::validate`].
    pub fn new(config: &ShiftUnetConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`ShiftUnetConfig::validate`].
    pub fn zeroed(config: &ShiftUnetConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &ShiftUnetConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let student = config.student(config.multiple());
        let layout = Layout::new(&student);
        let (own, doubled) = (student.style(), config.branch_style(&student));
        let time = TimeEmbedding::new(&mut builder, &student);
        let time_site = builder.feature_site("time_embed");
        let through = [config.latent_dim, student.emb_channels()];
        let code = Linear::new(&mut builder, "label_emb", through, Init::FanIn);
        let encoder = Layer::list(&mut builder, "input_blocks", &layout.input, own);
        let [middle, shift_middle] = [("middle_block", own), ("shift_middle_block", doubled)]
            .map(|(name, style)| Layer::new(&mut builder, name, &layout.middle, style));
        let [layers, shift_layers] = [("output_blocks", own), ("shift_output_blocks", doubled)]
            .map(|(name, style)| Layer::list(&mut builder, name, &layout.output, style));
        let channels = [student.level_channels(0), config.input_channel];
        let [readout, shift_readout] =
            ["out", "shift_out"].map(|name| Readout::new(&mut builder, name, channels));
        let Built { parameters, mut feature_sites, mut attention_sites } = builder.finish();
        feature_sites.retain(|site| Self::is_student(&site.name));
        attention_sites.retain(|site| Self::is_student(&site.name));
        Ok(Self {
            config: config.clone(),
            time,
            time_site,
            code,
            encoder,
            decoder: Decoder { middle, layers, readout },
            shift: Decoder { middle: shift_middle, layers: shift_layers, readout: shift_readout },
            parameters,
            feature_sites,
            attention_sites,
            recomputes: Cell::new(false),
        })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &ShiftUnetConfig {
        &self.config
    }

    /// `silu(emb)` and the outputs of the encoder.
    fn encode(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), (Tensor, Vec<Tensor>)> {
        self.assert_image(x);
        shape::assert_per_image("c_noise", c_noise, x);
        let emb = self.time.forward(c_noise);
        pass.show(&self.time_site, &emb)?;
        let emb = emb.silu();
        let skips = encode(&self.encoder, &channels_last(x), &[&emb], pass)?;
        ControlFlow::Continue((emb, skips))
    }

    fn evaluate(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        _cond: &Cond,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        let (emb, skips) = self.encode(x, c_noise, pass)?;
        self.decoder.forward(skips, &[&emb], pass)
    }

    fn assert_image(&self, x: &Tensor) {
        let (channels, multiple, found) =
            (self.config.input_channel, self.config.multiple(), x.size());
        let fits = matches!(found[..], [_, c, h, w]
            if c == channels && h % multiple == 0 && w % multiple == 0);
        assert!(
            fits,
            "`x` has shape {found:?}; this network needs [B, {channels}, H, W] with multiples of {multiple}"
        );
    }
}

impl Backbone for ShiftUnet {
    /// The student's answer alone. Conditions are ignored.
    ///
    /// # Panics
    /// If `x` is not `[B, input_channel, H, W]`, with sizes that can be halved once for every level after the first, or
    /// `c_noise` not `[B]`.
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
        self.shift.prepare();
    }

    /// Segments are the residual blocks and the attention layers.
    fn recompute(&self, on: bool) {
        self.recomputes.set(on);
    }
}

copied!(ShiftUnet);
taps!(ShiftUnet, "The places of the student.");
