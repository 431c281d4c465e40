//! The U-Net of DDPM as diffusers publishes it.

mod config;

pub use config::Unet2dConfig;

use crate::Result;
use crate::blocks::{Pass, PositionalEmbedding, unbroken};
use crate::builder::{Builder, Built};
use crate::capabilities::{copied, embedded, taps};
use crate::diffusers::{Body, ClassEmbedding, Flow, TimeEmbedding, sinusoids};
use diffusion_core::{AttentionSite, Backbone, Cond, FeatureSite, Noise, Parameters, shape};
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// The U-Net that diffusers calls `UNet2DModel`: DDPM.
///
/// The raw network; `c_noise` is the time step. Names, shapes and order of its [`Parameters`] are those of the official
/// state dict.
///
/// # Source
/// Ho et al. 2020, arXiv:2006.11239; `UNet2DModel` of the library diffusers.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Cond, Noise};
/// use unet::{Unet2d, Unet2dConfig};
/// let config = Unet2dConfig {
///     block_out_channels: vec![16, 16, 32, 32],
///     norm_num_groups: 8,
///     ..Unet2dConfig::ddpm_cifar10()
/// };
/// let network = Unet2d::new(&config, &mut Noise::new(7), tch::Device::Cpu)?;
/// let mut noise = Noise::new(8);
/// let (x, steps) = (noise.normal(&[2, 3, 16, 16]), tch::Tensor::from_slice(&[3f32, 999.0]));
/// assert_eq!(network.forward(&x, &steps, &Cond::none(), None).size(), [2, 3, 16, 16]);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct Unet2d {
    config: Unet2dConfig,
    embedding: Embedding,
    body: Body,
    parameters: Parameters,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
    recomputes: Cell<bool>,
}

/// What makes a vector of time step and class.
#[derive(Debug)]
struct Embedding {
    steps: PositionalEmbedding,
    time: TimeEmbedding,
    site: FeatureSite,
    class: Option<ClassEmbedding>,
}

impl Embedding {
    fn new(builder: &mut Builder<'_>, config: &Unet2dConfig) -> Self {
        let &Unet2dConfig { flip_sin_to_cos, freq_shift, num_class_embeds, .. } = config;
        let (from, to) = (config.block_out_channels[0], config.emb_channels());
        Self {
            steps: sinusoids(from, flip_sin_to_cos, freq_shift, builder.device()),
            time: TimeEmbedding::new(builder, "time_embedding", [from, to], None),
            site: builder.feature_site("time_embedding"),
            class: num_class_embeds.map(|classes| ClassEmbedding::new(builder, classes, to)),
        }
    }

    /// `c_noise`: `[B]`; returns `[B, width]`, activated.
    fn forward(
        &self,
        c_noise: &Tensor,
        cond: &Cond,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        let emb = self.time.forward(&self.steps.forward(c_noise), None);
        pass.show(&self.site, &emb)?; // what was shown is not written to
        let class = self.class.as_ref().map(|class| class.forward(cond, c_noise));
        let sum = class.into_iter().fold(emb, |sum, class| &sum + class);
        ControlFlow::Continue(pass.shifted(sum).silu())
    }
}

impl Unet2d {
    /// A network with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// # Errors
    /// As [`Unet2dConfig::validate`].
    pub fn new(config: &Unet2dConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`Unet2dConfig::validate`].
    pub fn zeroed(config: &Unet2dConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &Unet2dConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let embedding = |builder: &mut Builder<'_>| Embedding::new(builder, config);
        let (body, embedding) = Body::new(&mut builder, &config.plan(), embedding);
        let Built { parameters, feature_sites, attention_sites } = builder.finish();
        let (config, recomputes) = (config.clone(), Cell::new(false));
        Ok(Self { config, embedding, body, parameters, feature_sites, attention_sites, recomputes })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &Unet2dConfig {
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
        self.assert_image(x);
        shape::assert_per_image("c_noise", c_noise, x);
        let emb = self.embedding.forward(c_noise, cond, pass)?;
        let flow = Flow { emb: Some(&emb), text: None };
        let centered = if self.config.center_input_sample { &(x * 2.0 - 1.0) } else { x };
        self.body.forward(centered, flow, pass)
    }

    fn assert_image(&self, x: &Tensor) {
        let (channels, found) = (self.config.in_channels, x.size());
        let multiple = self.config.multiple();
        assert!(
            found.len() == 4
                && found[1] == channels
                && found[2..].iter().all(|n| n % multiple == 0),
            "`x` has shape {found:?}; this network needs [B, {channels}, H, W], height and width multiples of {multiple}"
        );
    }
}

impl Backbone for Unet2d {
    /// # Panics
    /// If `x` is not `[B, in_channels, H, W]` with sizes that can be halved for every level after the first, `c_noise` not
    /// `[B]`, or the network has classes and the labels are not `[B, num_class_embeds]`. A network that knows of no classes
    /// ignores them.
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
        self.body.prepare();
    }

    /// Segments are the residual blocks and the attention after each.
    fn recompute(&self, on: bool) {
        self.recomputes.set(on);
    }
}

taps!(Unet2d, "`time_embedding`, `conv_in`, and every residual block, attention and stage.");
copied!(Unet2d);
embedded!(Unet2d);
