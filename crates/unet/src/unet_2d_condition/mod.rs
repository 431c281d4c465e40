//! The U-Net of Stable Diffusion as diffusers publishes it.

mod conditions;
mod config;
mod layout;
mod presets;
mod validate;

pub use config::Unet2dConditionConfig;

use crate::Result;
use crate::blocks::{Pass, unbroken};
use crate::builder::{Builder, Built};
use crate::capabilities::{copied, embedded, taps};
use crate::diffusers::{Body, Flow, required};
use conditions::Conditions;
use diffusion_core::{AttentionSite, Backbone, Cond, FeatureSite, Noise, Parameters, shape};
use std::cell::Cell;
use std::ops::ControlFlow;
use tch::{Device, Tensor};

/// The U-Net that diffusers calls `UNet2DConditionModel`: Stable Diffusion 1, 2 and XL, and latent consistency models.
///
/// The raw network; `c_noise` is the time step. Names, shapes and order of its [`Parameters`] are those of the official
/// state dict.
///
/// # Conditions
/// - `text`: always, `[B, tokens, cross_attention_dim]`, unless no block looks at a text;
/// - `pooled_text` and `size`: with `addition_embed_type`;
/// - `guidance`: with `time_cond_proj_dim`; the number that latent consistency models call w, which is 0 where the
///   guidance scale of diffusers is 1. Where it is missing its term is left out;
/// - `labels`: with `num_class_embeds`.
///
/// # Source
/// Rombach et al. 2022, arXiv:2112.10752; Podell et al. 2023, arXiv:2307.01952; Luo et al. 2023, arXiv:2310.04378;
/// `UNet2DConditionModel` of the library diffusers.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Cond, Noise};
/// use unet::{PerBlock, Unet2dCondition, Unet2dConditionConfig};
/// let config = Unet2dConditionConfig {
///     block_out_channels: vec![16, 16, 32, 32],
///     norm_num_groups: 8,
///     cross_attention_dim: PerBlock::All(12),
///     ..Unet2dConditionConfig::sd15()
/// };
/// let network = Unet2dCondition::new(&config, &mut Noise::new(7), tch::Device::Cpu)?;
/// let mut noise = Noise::new(8);
/// let (x, steps) = (noise.normal(&[2, 4, 8, 8]), tch::Tensor::from_slice(&[3f32, 999.0]));
/// let mut cond = Cond::none();
/// cond.text = Some(noise.normal(&[2, 77, 12]));
/// assert_eq!(network.forward(&x, &steps, &cond, None).size(), [2, 4, 8, 8]);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct Unet2dCondition {
    config: Unet2dConditionConfig,
    conditions: Conditions,
    body: Body,
    text_width: Option<i64>,
    parameters: Parameters,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
    recomputes: Cell<bool>,
}

impl Unet2dCondition {
    /// A network with the official initial weights, drawn from `noise` in the order of the state dict.
    ///
    /// # Errors
    /// As [`Unet2dConditionConfig::validate`].
    pub fn new(config: &Unet2dConditionConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`Unet2dConditionConfig::validate`].
    pub fn zeroed(config: &Unet2dConditionConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &Unet2dConditionConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let plan = layout::plan(config);
        let conditions = |builder: &mut Builder<'_>| Conditions::new(builder, config);
        let (body, conditions) = Body::new(&mut builder, &plan, conditions);
        let Built { parameters, feature_sites, attention_sites } = builder.finish();
        Ok(Self {
            config: config.clone(),
            conditions: conditions?,
            body,
            text_width: plan.text_width(),
            parameters,
            feature_sites,
            attention_sites,
            recomputes: Cell::new(false),
        })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &Unet2dConditionConfig {
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
        let text = self
            .text_width
            .map(|width| required("text", cond.text.as_ref(), &[x.size()[0], -1, width]));
        let emb = self.conditions.forward(c_noise, cond, pass)?;
        let flow = Flow { emb: Some(&emb), text: text.as_ref() };
        let centered = if self.config.center_input_sample { &(x * 2.0 - 1.0) } else { x };
        self.body.forward(centered, flow, pass)
    }

    fn assert_image(&self, x: &Tensor) {
        let (channels, found) = (self.config.in_channels, x.size());
        assert!(
            found.len() == 4 && found[1] == channels,
            "`x` has shape {found:?}; this network needs [B, {channels}, H, W]"
        );
    }
}

impl Backbone for Unet2dCondition {
    /// Height and width are free; odd ones are rounded up when they are halved.
    ///
    /// # Panics
    /// If `x` is not `[B, in_channels, H, W]`, `c_noise` not `[B]`, or a condition that the network needs is missing or has
    /// another shape.
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

taps!(
    Unet2dCondition,
    "`time_embedding`, `conv_in`, and every residual block, attention and stage."
);
copied!(Unet2dCondition);
embedded!(Unet2dCondition);
