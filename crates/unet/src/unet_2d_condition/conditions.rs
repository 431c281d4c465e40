//! Time step and conditions other than the text's tokens as one vector.

use super::config::Unet2dConditionConfig;
use crate::Result;
use crate::blocks::{Pass, PositionalEmbedding};
use crate::builder::Builder;
use crate::diffusers::{ClassEmbedding, TimeEmbedding, guidance_sinusoids, required, sinusoids};
use diffusion_core::{Cond, FeatureSite};
use std::ops::ControlFlow;
use tch::Tensor;

/// What the guidance scale is multiplied with before its sines and cosines are taken.
const GUIDANCE_UNIT: f64 = 1000.0;

/// The embedding that every residual block sees.
///
/// ```text
/// emb = time_embedding(sinusoids(c_noise), sinusoids(1000 · guidance))
///     + class_embedding(labels)
///     + add_embedding([pooled_text, sinusoids(size)])
/// ```
///
/// with what the configuration has of it. A missing guidance scale leaves its term out.
#[derive(Debug)]
pub(super) struct Conditions {
    steps: PositionalEmbedding,
    guidance: Option<PositionalEmbedding>,
    time: TimeEmbedding,
    site: FeatureSite,
    class: Option<ClassEmbedding>,
    added: Option<Added>,
}

/// The embedding of the text as one vector and of what the image is a cut-out of.
#[derive(Debug)]
struct Added {
    pooled_width: i64,
    sizes: PositionalEmbedding,
    embedding: TimeEmbedding,
}

impl Conditions {
    /// The layers `time_embedding`, `class_embedding` and `add_embedding`.
    pub(super) fn new(builder: &mut Builder<'_>, config: &Unet2dConditionConfig) -> Result<Self> {
        let &Unet2dConditionConfig { flip_sin_to_cos, freq_shift, time_cond_proj_dim, .. } = config;
        let (from, to) = (config.block_out_channels[0], config.emb_channels());
        let device = builder.device();
        let steps = |channels| sinusoids(channels, flip_sin_to_cos, freq_shift, device);
        let classes = config.num_class_embeds;
        Ok(Self {
            steps: steps(from),
            guidance: time_cond_proj_dim.map(|channels| guidance_sinusoids(channels, device)),
            time: TimeEmbedding::new(builder, "time_embedding", [from, to], time_cond_proj_dim),
            site: builder.feature_site("time_embedding"),
            class: classes.map(|classes| ClassEmbedding::new(builder, classes, to)),
            added: config.pooled_width()?.map(|(pooled_width, channels)| Added {
                pooled_width,
                sizes: steps(channels),
                embedding: TimeEmbedding::new(
                    builder,
                    "add_embedding",
                    [pooled_width + 6 * channels, to],
                    None,
                ),
            }),
        })
    }

    /// `c_noise`: `[B]`; returns `[B, width]`, activated.
    pub(super) fn forward(
        &self,
        c_noise: &Tensor,
        cond: &Cond,
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        let guidance =
            self.guidance.as_ref().zip(cond.guidance.as_ref()).map(|(embedding, scale)| {
                let scale = required("guidance", Some(scale), &c_noise.size());
                embedding.forward(&(scale * GUIDANCE_UNIT))
            });
        let emb = self.time.forward(&self.steps.forward(c_noise), guidance.as_ref());
        pass.show(&self.site, &emb)?; // what was shown is not written to
        let class = self.class.as_ref().map(|class| class.forward(cond, c_noise));
        let added = self.added.as_ref().map(|added| added.forward(cond, c_noise.size()[0]));
        let sum = class.into_iter().chain(added).fold(emb, |sum, term| &sum + term);
        ControlFlow::Continue(pass.shifted(sum).silu())
    }
}

impl Added {
    fn forward(&self, cond: &Cond, images: i64) -> Tensor {
        let pooled =
            required("pooled_text", cond.pooled_text.as_ref(), &[images, self.pooled_width]);
        let size = required("size", cond.size.as_ref(), &[images, 6]);
        let sizes = self.sizes.forward(&size.flatten(0, -1)).view([images, -1]);
        self.embedding.forward(&Tensor::cat(&[pooled, sizes], 1), None)
    }
}
