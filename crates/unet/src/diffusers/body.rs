//! A U-Net without what makes a vector of its conditions.

use super::plan::Plan;
use super::stage::{Flow, Stage};
use crate::blocks::{Conv2d, GroupNorm, Pass, Resample};
use crate::builder::{Builder, Init, channels_last};
use diffusion_core::{FeatureSite, Part};
use std::ops::ControlFlow;
use tch::Tensor;

/// The first convolution, the stages, and the last convolution.
#[derive(Debug)]
pub(crate) struct Body {
    conv_in: Conv2d,
    conv_in_site: FeatureSite,
    down: Vec<Stage>,
    mid: Stage,
    up: Vec<Stage>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Body {
    /// Tensors in the official order, in which those of `embedding` come after the first convolution.
    pub(crate) fn new<E>(
        builder: &mut Builder<'_>,
        plan: &Plan,
        embedding: impl FnOnce(&mut Builder<'_>) -> E,
    ) -> (Self, E) {
        let (style, width) = (&plan.style, plan.width);
        let [images_in, images_out] = plan.images;
        builder.enter(Part::Encoder);
        let conv_in_site = builder.feature_site("conv_in");
        let conv_in = conv(builder, "conv_in", [images_in, width]);
        builder.enter(Part::Embedding);
        let embedding = embedding(builder);
        let down = plan.down.iter().map(|stage| Stage::new(builder, stage, style)).collect();
        let up = plan.up.iter().map(|stage| Stage::new(builder, stage, style)).collect();
        let mid = Stage::new(builder, &plan.mid, style);
        builder.enter(Part::Decoder);
        let norm_out = GroupNorm::new(builder, "conv_norm_out", width, style.groups, style.epsilon);
        let conv_out = conv(builder, "conv_out", [width, images_out]);
        (Self { conv_in, conv_in_site, down, mid, up, norm_out, conv_out }, embedding)
    }

    /// `x`: `[B, in, H, W]`; returns `[B, out, H, W]`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        flow: Flow<'_>,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        let mut x = self.conv_in.forward(&channels_last(x));
        pass.show(&self.conv_in_site, &x)?;
        let mut skips = vec![x.shallow_clone()];
        for stage in &self.down {
            x = stage.leave(x, flow, &mut skips, pass)?;
        }
        x = self.mid.pass_through(x, flow, pass)?;
        for stage in &self.up {
            x = stage.take(x, flow, &mut skips, pass)?;
        }
        let out = self.conv_out.forward(&self.norm_out.forward_silu(&x));
        ControlFlow::Continue(out.contiguous())
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(crate) fn prepare(&self) {
        [&self.conv_in, &self.conv_out].into_iter().for_each(Conv2d::prepare);
        self.down.iter().chain([&self.mid]).chain(&self.up).for_each(Stage::prepare);
    }
}

fn conv(builder: &mut Builder<'_>, name: &str, channels: [i64; 2]) -> Conv2d {
    Conv2d::new(builder, name, channels, 3, Resample::Keep, Init::FanIn)
}
