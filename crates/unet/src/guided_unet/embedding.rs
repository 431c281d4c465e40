//! Noise level and class as vectors.

use super::config::GuidedUnetConfig;
use crate::blocks::{Linear, Order, PositionalEmbedding};
use crate::builder::{Builder, Init};
use diffusion_core::Cond;
use tch::{Kind, Tensor};

/// The noise level as a vector: `linear(silu(linear(positional(scale · c_noise))))`.
#[derive(Debug)]
pub(crate) struct TimeEmbedding {
    positional: PositionalEmbedding,
    scale: f64,
    first: Linear,
    second: Linear,
}

impl TimeEmbedding {
    /// The layers `time_embed.0` and `time_embed.2`.
    pub(crate) fn new(builder: &mut Builder<'_>, config: &GuidedUnetConfig) -> Self {
        let (narrow, wide) = (config.model_channels, config.emb_channels());
        Self {
            positional: PositionalEmbedding::new(narrow, Order::CosSin, 0.0, builder.device()),
            scale: config.timestep_scale,
            first: Linear::new(builder, "time_embed.0", [narrow, wide], Init::FanIn),
            second: Linear::new(builder, "time_embed.2", [wide, wide], Init::FanIn),
        }
    }

    /// `[B]` to `[B, emb_channels]`.
    pub(crate) fn forward(&self, c_noise: &Tensor) -> Tensor {
        let embedded = self.positional.forward(&(c_noise * self.scale));
        self.second.forward(&self.first.forward(&embedded).silu())
    }
}

/// One vector for each class.
#[derive(Debug)]
pub(crate) struct ClassTable {
    vectors: Tensor,
}

impl ClassTable {
    /// The table `label_emb`.
    pub(crate) fn new(builder: &mut Builder<'_>, classes: i64, emb_channels: i64) -> Self {
        Self { vectors: builder.normal("label_emb.weight", &[classes, emb_channels], 1.0) }
    }

    /// The vectors of the classes, `[B, emb_channels]`; a row of zeros has none.
    pub(crate) fn forward(&self, cond: &Cond, images: i64) -> Tensor {
        let expected = [images, self.vectors.size()[0]];
        let Some(labels) = &cond.labels else {
            panic!(
                "the condition has no `labels`; this network needs {expected:?}: [images, classes]"
            );
        };
        let found = labels.size();
        assert!(
            found == expected,
            "`labels` of the condition have shape {found:?}; this network needs {expected:?}: [images, classes]"
        );
        labels.to_kind(Kind::Float).matmul(&self.vectors)
    }
}
