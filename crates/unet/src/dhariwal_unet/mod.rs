//! ADM as EDM trains it.

mod config;
mod mapping;

pub use config::DhariwalUnetConfig;

use crate::Result;
use crate::blocks::{Conv2d, GroupNorm, Pass, Resample, unbroken};
use crate::builder::{Builder, Built};
use crate::capabilities::{copied, embedded, taps};
use crate::check::assert_image;
use crate::trunk::Trunk;
use diffusion_core::{AttentionSite, Backbone, Cond, FeatureSite, Noise, Parameters, Part, shape};
use mapping::Mapping;
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// The official name of the network inside its preconditioning.
const PREFIX: &str = "model";

/// The U-Net of Dhariwal and Nichol, as Karras et al. train it: ADM.
///
/// The raw network `F(x, c_noise)`. Names, shapes and order of its [`Parameters`] are those of the official state dict
/// inside `EDMPrecond`, prefix `model.` included. The buffers `resample_filter` follow from the configuration and are not
/// read. Inside `iDDPMPrecond` the official state dict begins with a buffer `u`: the noise levels of the preconditioning,
/// not of the network, which [`IDdpm`](diffusion_schedule::IDdpm) computes. It is no tensor of this network;
/// [`load`](crate::load) compares it and drops it.
///
/// Attention heads have 64 channels, rounded up so that the channels split evenly.
///
/// # Source
/// Dhariwal & Nichol 2021, arXiv:2105.05233; Karras et al. 2022, arXiv:2206.00364; official `DhariwalUNet` in
/// `training/networks.py`.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Cond, Noise};
/// use tch::{Device, Kind, Tensor};
/// use unet::{DhariwalUnet, DhariwalUnetConfig};
/// let config = DhariwalUnetConfig {
///     img_resolution: 8,
///     model_channels: 32,
///     channel_mult: vec![1, 2],
///     num_blocks: 1,
///     ..DhariwalUnetConfig::imagenet64()
/// };
/// let network = DhariwalUnet::new(&config, &mut Noise::new(1), Device::Cpu)?;
/// let (x, c_noise) = (Noise::new(2).normal(&[2, 3, 8, 8]), Tensor::from_slice(&[0.1f32, -0.5]));
/// let cond = Cond::classes(&[7, 999], 1000, Device::Cpu)?;
/// let answer = network.forward(&x, &c_noise, &cond, None);
/// assert_eq!(answer, Tensor::zeros([2, 3, 8, 8], (Kind::Float, Device::Cpu))); // its last layer starts silent
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DhariwalUnet {
    config: DhariwalUnetConfig,
    mapping: Mapping,
    mapped: FeatureSite,
    trunk: Trunk,
    out_norm: GroupNorm,
    out_conv: Conv2d,
    parameters: Parameters,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
    recomputes: Cell<bool>,
}

impl DhariwalUnet {
    /// A network with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// The last layer of every residual branch starts as zero, and so does the output.
    ///
    /// # Errors
    /// As [`DhariwalUnetConfig::validate`].
    pub fn new(config: &DhariwalUnetConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`DhariwalUnetConfig::validate`].
    pub fn zeroed(config: &DhariwalUnetConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &DhariwalUnetConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let style = config.style();
        let mapping = Mapping::new(&mut builder, PREFIX, config);
        let mapped = builder.feature_site(&format!("{PREFIX}.map_layer1"));
        let trunk = Trunk::new(&mut builder, PREFIX, &config.sizes(), &style);
        builder.enter(Part::Decoder);
        let name = |part: &str| format!("{PREFIX}.{part}");
        let channels = [config.sizes().width(0), config.answer_channels()];
        let out_norm = style.norm(&mut builder, &name("out_norm"), channels[0]);
        let (keep, silent) = (Resample::Keep, style.silent);
        let out_conv = Conv2d::new(&mut builder, &name("out_conv"), channels, 3, keep, silent);
        let Built { parameters, feature_sites, attention_sites } = builder.finish();
        Ok(Self {
            config: config.clone(),
            mapping,
            mapped,
            trunk,
            out_norm,
            out_conv,
            parameters,
            feature_sites,
            attention_sites,
            recomputes: Cell::new(false),
        })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &DhariwalUnetConfig {
        &self.config
    }

    fn embedding_channels(&self) -> i64 {
        self.config.style().emb_channels
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
        let emb = self.mapping.forward(c_noise, cond);
        pass.show(&self.mapped, &emb)?;
        let emb = self.mapping.add_class(emb, cond, pass);
        let features = self.trunk.forward(x, &pass.shifted(emb).silu(), pass)?.x;
        let answer = self.out_conv.forward(&self.out_norm.forward_silu(&features));
        ControlFlow::Continue(answer.contiguous())
    }
}

impl Backbone for DhariwalUnet {
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
        self.out_conv.prepare();
    }

    /// Segments are the residual blocks.
    fn recompute(&self, on: bool) {
        self.recomputes.set(on);
    }
}

taps!(
    DhariwalUnet,
    "The embedding `model.map_layer1`, before the class is added, and every layer of encoder and decoder."
);
copied!(DhariwalUnet);
embedded!(DhariwalUnet);
