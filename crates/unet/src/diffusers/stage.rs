//! The blocks of one resolution.

use super::attention::PixelAttention;
use super::plan::{AttentionPlan, LayerPlan, StagePlan, Style};
use super::resampler::Resampler;
use super::resnet::Resnet;
use super::transformer::Transformer;
use crate::blocks::{Pass, Segment};
use crate::builder::Builder;
use diffusion_core::FeatureSite;
use std::ops::ControlFlow;
use tch::Tensor;

/// A stage of a plan, with tensors.
#[derive(Debug)]
pub(crate) struct Stage {
    layers: Vec<Layer>,
    resampler: Option<Resampler>,
    site: FeatureSite,
}

/// A residual block and the attention after it.
#[derive(Debug)]
struct Layer {
    resnet: Segment,
    attention: Option<Segment>,
    sites: Sites,
}

#[derive(Debug)]
struct Sites {
    resnet: FeatureSite,
    attention: Option<FeatureSite>,
}

/// What flows through the stages of a network beside the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow<'a> {
    /// The activated embedding, `[B, width]`, if the network has one.
    pub(crate) emb: Option<&'a Tensor>,
    /// The text, `[B, tokens, width]`, if the network looks at one.
    pub(crate) text: Option<&'a Tensor>,
}

impl Stage {
    /// Tensors in the official order: attention first, then the residual blocks, then what resamples.
    pub(crate) fn new(builder: &mut Builder<'_>, plan: &StagePlan, style: &Style) -> Self {
        builder.enter(plan.part);
        let numbered = || plan.layers.iter().enumerate();
        let sites: Vec<Sites> =
            numbered().map(|(idx, layer)| Sites::new(builder, plan, idx, layer)).collect();
        let attention = |(idx, layer): (usize, &LayerPlan)| {
            let name = format!("{}.attentions.{idx}", plan.name);
            attend(builder, &name, layer, style, plan.divisor)
        };
        let attentions: Vec<Option<Segment>> = numbered().map(attention).collect();
        let resnet = |(idx, layer): (usize, &LayerPlan)| {
            let name = format!("{}.resnets.{idx}", plan.name);
            Segment::new(builder, style.dropout > 0.0, |builder| {
                Resnet::new(builder, &name, layer.channels, style, plan.divisor)
            })
        };
        let resnets: Vec<Segment> = numbered().map(resnet).collect();
        let layers = resnets.into_iter().zip(attentions).zip(sites);
        let layers = layers.map(|((resnet, attention), sites)| Layer { resnet, attention, sites });
        let width = plan.layers.last().map_or(0, |layer| layer.channels[1]);
        Self {
            layers: layers.collect(),
            resampler: Resampler::new(builder, &plan.name, width, plan.resampling),
            site: builder.feature_site(&plan.name),
        }
    }

    /// In the encoder: leaves every output in `skips`.
    pub(crate) fn leave(
        &self,
        mut x: Tensor,
        flow: Flow<'_>,
        skips: &mut Vec<Tensor>,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        for layer in &self.layers {
            x = layer.forward(&x, flow, pass)?;
            skips.push(x.shallow_clone());
        }
        if let Some(resampler) = &self.resampler {
            x = resampler.forward(&x, None);
            skips.push(x.shallow_clone());
        }
        self.shown(x, pass)
    }

    /// In the decoder: concatenates the last of `skips` to every input.
    pub(crate) fn take(
        &self,
        mut x: Tensor,
        flow: Flow<'_>,
        skips: &mut Vec<Tensor>,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        for layer in &self.layers {
            let skip =
                skips.pop().expect("the encoder has as many outputs as the decoder has blocks");
            x = layer.forward(&Tensor::cat(&[x, skip], 1), flow, pass)?;
        }
        if let Some(resampler) = &self.resampler {
            let grid = skips.last().map(|skip| [skip.size()[2], skip.size()[3]]);
            x = resampler.forward(&x, grid);
        }
        self.shown(x, pass)
    }

    /// Where there are no skips.
    pub(crate) fn pass_through(
        &self,
        mut x: Tensor,
        flow: Flow<'_>,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        for layer in &self.layers {
            x = layer.forward(&x, flow, pass)?;
        }
        if let Some(resampler) = &self.resampler {
            x = resampler.forward(&x, None);
        }
        self.shown(x, pass)
    }

    fn shown(&self, x: Tensor, pass: &mut Pass<'_>) -> ControlFlow<(), Tensor> {
        pass.show(&self.site, &x)?;
        ControlFlow::Continue(x)
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(crate) fn prepare(&self) {
        for Layer { resnet, attention, .. } in &self.layers {
            [resnet].into_iter().chain(attention).for_each(Segment::prepare);
        }
        self.resampler.iter().for_each(Resampler::prepare);
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, flow: Flow<'_>, pass: &mut Pass<'_>) -> ControlFlow<(), Tensor> {
        let with = |x, other| [x].into_iter().chain(other).collect::<Vec<&Tensor>>();
        let h = self.resnet.forward(&with(x, flow.emb), pass);
        pass.show(&self.sites.resnet, &h)?;
        let (Some(attention), Some(site)) = (&self.attention, &self.sites.attention) else {
            return ControlFlow::Continue(h);
        };
        let h = attention.forward(&with(&h, flow.text), pass);
        pass.show(site, &h)?;
        ControlFlow::Continue(h)
    }
}

impl Sites {
    fn new(builder: &mut Builder<'_>, plan: &StagePlan, idx: usize, layer: &LayerPlan) -> Self {
        let mut site = |part| builder.feature_site(&format!("{}.{part}.{idx}", plan.name));
        let resnet = site("resnets");
        let attends = layer.attention != AttentionPlan::None;
        Self { resnet, attention: attends.then(|| site("attentions")) }
    }
}

/// The attention after a residual block, if there is any.
fn attend(
    builder: &mut Builder<'_>,
    name: &str,
    layer: &LayerPlan,
    style: &Style,
    divisor: f64,
) -> Option<Segment> {
    let width = layer.channels[1];
    match layer.attention {
        AttentionPlan::None => None,
        AttentionPlan::Pixels(plan) => Some(Segment::new(builder, false, |builder| {
            PixelAttention::new(builder, name, width, plan, (style.epsilon, divisor))
        })),
        AttentionPlan::Transformer(plan) => Some(Segment::new(builder, false, |builder| {
            Transformer::new(builder, name, width, style.groups, plan)
        })),
    }
}
