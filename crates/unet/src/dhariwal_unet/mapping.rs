//! Noise level, class and augmentation as one vector.

use super::config::DhariwalUnetConfig;
use crate::blocks::{Linear, Order, Pass, PositionalEmbedding, hide_rows, rows_or_zeros};
use crate::builder::{Builder, Init};
use diffusion_core::Cond;
use tch::Tensor;

/// The embedding that every block sees.
///
/// ```text
/// e   = positional(c_noise) + map_augment(augment)
/// out = silu(map_layer1(silu(map_layer0(e))) + map_label(labels))
/// ```
#[derive(Debug)]
pub(crate) struct Mapping {
    noise: PositionalEmbedding,
    augment: Option<Linear>,
    layer0: Linear,
    layer1: Linear,
    label: Option<Linear>,
    label_dim: i64,
    augment_dim: i64,
    label_dropout: f64,
}

impl Mapping {
    /// The layers `map_augment`, `map_layer0`, `map_layer1` and `map_label` of the network `prefix`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        prefix: &str,
        config: &DhariwalUnetConfig,
    ) -> Self {
        let &DhariwalUnetConfig { label_dim, augment_dim, label_dropout, .. } = config;
        let (noise, emb) = (config.model_channels, config.style().emb_channels);
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            noise: PositionalEmbedding::new(noise, Order::CosSin, 0.0, builder.device()),
            augment: (augment_dim > 0).then(|| {
                let channels = [augment_dim, noise];
                Linear::without_bias(builder, &name("map_augment"), channels, Init::Zero)
            }),
            layer0: Linear::new(builder, &name("map_layer0"), [noise, emb], Init::FanIn),
            layer1: Linear::new(builder, &name("map_layer1"), [emb, emb], Init::FanIn),
            label: (label_dim > 0)
                .then(|| Linear::of_normal(builder, &name("map_label"), [label_dim, emb])),
            label_dim,
            augment_dim,
            label_dropout,
        }
    }

    /// `c_noise`: `[B]`; returns `[B, emb_channels]`, the output of `map_layer1`.
    pub(crate) fn forward(&self, c_noise: &Tensor, cond: &Cond) -> Tensor {
        let mut emb = self.noise.forward(c_noise);
        if let Some(map_augment) = &self.augment {
            let expected = [c_noise.size()[0], self.augment_dim];
            let augment = rows_or_zeros("augment", cond.augment.as_ref(), expected, c_noise);
            emb += map_augment.forward(&augment);
        }
        self.layer1.forward(&self.layer0.forward(&emb).silu())
    }

    /// The same with the class, before the last activation.
    pub(crate) fn add_class(&self, emb: Tensor, cond: &Cond, pass: &mut Pass<'_>) -> Tensor {
        let Some(map_label) = &self.label else { return emb };
        let expected = [emb.size()[0], self.label_dim];
        let labels = rows_or_zeros("labels", cond.labels.as_ref(), expected, &emb);
        emb + map_label.forward(&hide_rows(labels, self.label_dropout, pass))
    }
}
