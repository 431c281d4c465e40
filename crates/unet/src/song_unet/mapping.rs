//! Noise level, class and augmentation as one vector.

use super::config::SongUnetConfig;
use crate::blocks::{Linear, Order, Pass, PositionalEmbedding};
use crate::builder::{Builder, Init};
use diffusion_core::Cond;
use tch::{Kind, Tensor};

const INIT: Init = Init::Glorot(1.0);

/// The embedding that every block sees.
///
/// ```text
/// e = positional(c_noise) + map_label(labels · √label_dim) + map_augment(augment)
/// out = silu(map_layer1(silu(map_layer0(e))))
/// ```
#[derive(Debug)]
pub(crate) struct Mapping {
    noise: PositionalEmbedding,
    label: Option<Linear>,
    augment: Option<Linear>,
    layer0: Linear,
    layer1: Linear,
    label_dim: i64,
    augment_dim: i64,
    label_dropout: f64,
}

impl Mapping {
    /// The layers `map_label`, `map_augment`, `map_layer0` and `map_layer1` of the network `prefix`.
    pub(crate) fn new(builder: &mut Builder<'_>, prefix: &str, config: &SongUnetConfig) -> Self {
        let &SongUnetConfig { label_dim, augment_dim, label_dropout, .. } = config;
        let (noise, emb) = (config.noise_channels(), config.emb_channels());
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            noise: PositionalEmbedding::new(noise, Order::SinCos, 1.0, builder.device()),
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
        let rows = |name, values: &Option<Tensor>, width| match values {
            Some(values) => checked(name, values, [c_noise.size()[0], width]),
            None => Tensor::zeros([c_noise.size()[0], width], (Kind::Float, c_noise.device())),
        };
        if let Some(map_label) = &self.label {
            let labels = self.hide_some(rows("labels", &cond.labels, self.label_dim), pass);
            emb += map_label.forward(&(labels * (self.label_dim as f64).sqrt()));
        }
        if let Some(map_augment) = &self.augment {
            emb += map_augment.forward(&rows("augment", &cond.augment, self.augment_dim));
        }
        self.layer1.forward(&self.layer0.forward(&emb).silu())
    }

    /// Zeroes whole rows of labels with the probability `label_dropout`, in training.
    fn hide_some(&self, labels: Tensor, pass: &mut Pass<'_>) -> Tensor {
        match pass.noise() {
            Some(noise) if self.label_dropout > 0.0 => {
                let kept = noise.uniform(&[labels.size()[0], 1]).ge(self.label_dropout);
                let kept = kept.to_device(labels.device());
                labels * kept
            }
            _ => labels,
        }
    }
}

fn checked(name: &str, values: &Tensor, expected: [i64; 2]) -> Tensor {
    let found = values.size();
    assert!(
        found == expected,
        "`{name}` of the condition have shape {found:?}; this network needs {expected:?}: [images, width]"
    );
    values.to_kind(Kind::Float)
}
