//! Noise level, class and augmentation as one vector.

use super::config::{EmbeddingType, SongUnetConfig};
use crate::blocks::{
    FourierEmbedding, Linear, Order, Pass, PositionalEmbedding, hide_rows, rows_or_zeros,
};
use crate::builder::{Builder, Init};
use diffusion_core::Cond;
use tch::Tensor;

const INIT: Init = Init::Glorot(1.0);

/// The embedding that every block sees.
///
/// ```text
/// e = map_noise(c_noise) + map_label(labels · √label_dim) + map_augment(augment)
/// out = silu(map_layer1(silu(map_layer0(e))))
/// ```
#[derive(Debug)]
pub(crate) struct Mapping {
    noise: NoiseEmbedding,
    label: Option<Linear>,
    augment: Option<Linear>,
    layer0: Linear,
    layer1: Linear,
    label_dim: i64,
    augment_dim: i64,
    label_dropout: f64,
}

/// The first step, for the two families.
#[derive(Debug)]
enum NoiseEmbedding {
    Positional(PositionalEmbedding),
    Fourier(FourierEmbedding),
}

impl Mapping {
    /// The layers `map_noise`, `map_label`, `map_augment`, `map_layer0` and `map_layer1` of the network `prefix`.
    pub(crate) fn new(builder: &mut Builder<'_>, prefix: &str, config: &SongUnetConfig) -> Self {
        let &SongUnetConfig { label_dim, augment_dim, label_dropout, .. } = config;
        let (noise, emb) = (config.noise_channels(), config.emb_channels());
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            noise: NoiseEmbedding::new(builder, &name("map_noise"), config),
            label: (label_dim > 0)
                .then(|| Linear::new(builder, &name("map_label"), [label_dim, noise], INIT)),
            augment: (augment_dim > 0).then(|| {
                Linear::without_bias(builder, &name("map_augment"), [augment_dim, noise], INIT)
            }),
            layer0: Linear::new(builder, &name("map_layer0"), [noise, emb], INIT),
            layer1: Linear::new(builder, &name("map_layer1"), [emb, emb], INIT),
            label_dim,
            augment_dim,
            label_dropout,
        }
    }

    /// `c_noise`: `[B]`; returns `[B, emb_channels]` before the last activation, the output of `map_layer1`.
    pub(crate) fn forward(&self, c_noise: &Tensor, cond: &Cond, pass: &mut Pass<'_>) -> Tensor {
        let mut emb = self.noise.forward(c_noise);
        let rows = |name, values: &Option<Tensor>, width| {
            rows_or_zeros(name, values.as_ref(), [c_noise.size()[0], width], c_noise)
        };
        if let Some(map_label) = &self.label {
            let labels = rows("labels", &cond.labels, self.label_dim);
            let labels = hide_rows(labels, self.label_dropout, pass);
            emb += map_label.forward(&(labels * (self.label_dim as f64).sqrt()));
        }
        if let Some(map_augment) = &self.augment {
            emb += map_augment.forward(&rows("augment", &cond.augment, self.augment_dim));
        }
        self.layer1.forward(&self.layer0.forward(&emb).silu())
    }
}

impl NoiseEmbedding {
    fn new(builder: &mut Builder<'_>, name: &str, config: &SongUnetConfig) -> Self {
        let (channels, order) = (config.noise_channels(), Order::SinCos);
        match config.embedding_type {
            EmbeddingType::Positional => {
                Self::Positional(PositionalEmbedding::new(channels, order, 1.0, builder.device()))
            }
            EmbeddingType::Fourier => {
                Self::Fourier(FourierEmbedding::new(builder, name, channels, order, 16.0))
            }
        }
    }

    fn forward(&self, c_noise: &Tensor) -> Tensor {
        match self {
            Self::Positional(embedding) => embedding.forward(c_noise),
            Self::Fourier(embedding) => embedding.forward(c_noise),
        }
    }
}
