//! The latent network of semantic diffusion autoencoders.

use crate::blocks::{LayerNorm, Linear, Order, Pass, PositionalEmbedding};
use crate::builder::{Builder, Init};
use crate::check::{in_range, probability};
use crate::{Error, Result};
use diffusion_core::{Noise, Parameters, shape};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// Configuration of an [`MlpSkipNet`], with the official field names. The defaults are the published ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpSkipNetConfig {
    /// Width of the latent vectors.
    pub input_channel: i64,
    /// Width of the hidden layers.
    pub model_channel: i64,
    /// Number of layers.
    pub num_layers: i64,
    /// Width of the time embedding's first layer.
    pub time_emb_channel: i64,
    /// Whether hidden layers normalize.
    pub use_norm: bool,
    /// Probability of zeroing an activation in training.
    pub dropout: f64,
}

impl Default for MlpSkipNetConfig {
    fn default() -> Self {
        Self {
            input_channel: 512,
            model_channel: 2048,
            num_layers: 10,
            time_emb_channel: 64,
            use_norm: true,
            dropout: 0.0,
        }
    }
}

impl MlpSkipNetConfig {
    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::BadProbability`] or [`Error::OddEmbedding`], for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        in_range("input_channel", self.input_channel, 1, 1 << 16)?;
        in_range("model_channel", self.model_channel, 1, 1 << 16)?;
        in_range("num_layers", self.num_layers, 2, 1 << 10)?;
        in_range("time_emb_channel", self.time_emb_channel, 2, 1 << 16)?;
        probability("dropout", self.dropout)?;
        match self.time_emb_channel % 2 {
            0 => Ok(()),
            _ => Err(Error::OddEmbedding { channels: self.time_emb_channel }),
        }
    }
}

/// A perceptron over latent vectors whose every layer but the first also sees the input: predicts the noise in them.
///
/// ```text
/// c = linear(silu(linear(embedding(t))))
/// h = x;  for each layer:  h = silu(norm(linear([h, x]) · (1 + linear_emb(silu(c)))))
/// ```
///
/// The first layer does not concatenate; the last neither conditions, normalizes nor activates. The official state
/// dict holds each `linear_emb` a second time as `cond_layers.1`, the same tensors; here they have the first name only.
///
/// # Source
/// Preechakul et al. 2022, arXiv:2111.15640, appendix A; official PDAE and SFERD code, `MLPSkipNet`.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use unet::{MlpSkipNet, MlpSkipNetConfig};
/// let config = MlpSkipNetConfig { input_channel: 8, model_channel: 16, ..MlpSkipNetConfig::default() };
/// let network = MlpSkipNet::new(&config, &mut Noise::new(1), tch::Device::Cpu)?;
/// let (z, t) = (Noise::new(2).normal(&[4, 8]), tch::Tensor::from_slice(&[0f32, 10.0, 500.0, 999.0]));
/// assert_eq!(network.forward(&z, &t, None).size(), [4, 8]);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct MlpSkipNet {
    config: MlpSkipNetConfig,
    embedding: PositionalEmbedding,
    time_embed: [Linear; 2],
    hidden: Vec<Hidden>,
    last: Linear,
    parameters: Parameters,
}

impl MlpSkipNet {
    /// A network with the official initial weights, drawn from `noise`.
    ///
    /// # Errors
    /// As [`MlpSkipNetConfig::validate`].
    pub fn new(config: &MlpSkipNetConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`MlpSkipNetConfig::validate`].
    pub fn zeroed(config: &MlpSkipNetConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &MlpSkipNetConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let &MlpSkipNetConfig { input_channel, model_channel, num_layers, .. } = config;
        let time = config.time_emb_channel;
        let embedding = PositionalEmbedding::new(time, Order::CosSin, 0.0, builder.device());
        let time_embed =
            [("time_embed.0", time), ("time_embed.2", input_channel)].map(|(name, from)| {
                Linear::new(&mut builder, name, [from, input_channel], Init::FanIn)
            });
        let mut hidden = |i| {
            let from = if i == 0 { input_channel } else { model_channel + input_channel };
            Hidden::new(&mut builder, &format!("layers.{i}"), from, config)
        };
        let hidden = (0..num_layers - 1).map(&mut hidden).collect();
        let (name, features) = (
            format!("layers.{}.linear", num_layers - 1),
            [model_channel + input_channel, input_channel],
        );
        let last = Linear::new(&mut builder, &name, features, Init::FanIn);
        let parameters = builder.finish().parameters;
        Ok(Self { config: config.clone(), embedding, time_embed, hidden, last, parameters })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &MlpSkipNetConfig {
        &self.config
    }

    /// The named tensors, in the official order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `x`: `[B, input_channel]`; `t`: `[B]`, the step number; returns the shape of `x`. `dropout`: as for
    /// [`Backbone::forward`](diffusion_core::Backbone::forward).
    ///
    /// # Panics
    /// If `x` has another width or `t` is not `[B]`.
    pub fn forward(&self, x: &Tensor, t: &Tensor, dropout: Option<&mut Noise>) -> Tensor {
        let (found, width) = (x.size(), self.config.input_channel);
        assert!(
            found.len() == 2 && found[1] == width,
            "`x` has shape {found:?}; this network needs [B, {width}]"
        );
        shape::assert_per_image("t", t, x);
        let mut pass = Pass::new(dropout);
        let [first, second] = &self.time_embed;
        let cond = second.forward(&first.forward(&self.embedding.forward(t)).silu()).silu();
        let mut h = x.shallow_clone();
        for (i, layer) in self.hidden.iter().enumerate() {
            let input = if i == 0 { h } else { Tensor::cat(&[&h, x], 1) };
            h = pass.dropout(layer.forward(&input, &cond), self.config.dropout);
        }
        self.last.forward(&Tensor::cat(&[&h, x], 1))
    }
}

/// One hidden layer.
#[derive(Debug)]
struct Hidden {
    linear: Linear,
    linear_emb: Linear,
    norm: Option<LayerNorm>,
}

impl Hidden {
    fn new(builder: &mut Builder<'_>, name: &str, from: i64, config: &MlpSkipNetConfig) -> Self {
        let &MlpSkipNetConfig { input_channel, model_channel, use_norm, .. } = config;
        let part = |part: &str| format!("{name}.{part}");
        let emb = [input_channel, model_channel];
        Self {
            linear: Linear::new(builder, &part("linear"), [from, model_channel], Init::HeNormal),
            linear_emb: Linear::new(builder, &part("linear_emb"), emb, Init::HeNormal),
            norm: use_norm.then(|| LayerNorm::new(builder, &part("norm"), model_channel, 1e-5)),
        }
    }

    /// `cond` after its activation.
    fn forward(&self, x: &Tensor, cond: &Tensor) -> Tensor {
        let h = self.linear.forward(x) * (self.linear_emb.forward(cond) + 1.0);
        self.norm.as_ref().map_or_else(|| h.shallow_clone(), |norm| norm.forward(&h)).silu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MlpSkipNetConfig {
        MlpSkipNetConfig {
            input_channel: 6,
            model_channel: 16,
            num_layers: 3,
            ..Default::default()
        }
    }

    #[test]
    fn names_are_those_of_the_state_dict() {
        let network = MlpSkipNet::zeroed(&config(), Device::Cpu).unwrap();
        let names: Vec<_> = network.parameters.iter().map(|entry| &*entry.name).collect();
        assert_eq!(
            names[..5],
            [
                "time_embed.0.weight",
                "time_embed.0.bias",
                "time_embed.2.weight",
                "time_embed.2.bias",
                "layers.0.linear.weight"
            ]
        );
        assert_eq!(network.parameters.get("layers.1.linear.weight").unwrap().size(), [16, 22]);
        assert_eq!(network.parameters.get("layers.2.linear.weight").unwrap().size(), [6, 22]);
        assert!(network.parameters.get("layers.2.linear_emb.weight").is_none());
    }

    #[test]
    fn time_and_dropout_matter() {
        let config = MlpSkipNetConfig { dropout: 0.5, ..config() };
        let network = MlpSkipNet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
        let x = Noise::new(2).normal(&[1, 6]).expand([2, 6], false);
        let t = Tensor::from_slice(&[3f32, 900.0]);
        let answers = network.forward(&x, &t, None);
        assert_ne!(answers.get(0), answers.get(1));
        let train = |seed| network.forward(&x, &t, Some(&mut Noise::new(seed)));
        assert_eq!(train(3), train(3));
        assert_ne!(train(3), train(4));
    }

    #[test]
    fn impossible_values_are_named() {
        let error = |config: MlpSkipNetConfig| config.validate().unwrap_err().to_string();
        assert!(error(MlpSkipNetConfig { num_layers: 1, ..config() }).contains("`num_layers`"));
        assert!(error(MlpSkipNetConfig { dropout: 1.0, ..config() }).contains("`dropout`"));
        assert!(error(MlpSkipNetConfig { time_emb_channel: 7, ..config() }).contains('7'));
    }
}
