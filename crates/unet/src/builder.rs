//! A network's tensors while it is built.

use diffusion_core::{
    AttentionKind, AttentionSite, FeatureSite, Noise, Parameter, Parameters, Part,
};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Registers a network's tensors and places in order and gives the tensors their first values.
pub(crate) struct Builder<'n> {
    parameters: Parameters,
    values: Values<'n>,
    part: Part,
    feature_sites: Vec<FeatureSite>,
    attention_sites: Vec<AttentionSite>,
}

/// Where first values come from.
enum Values<'n> {
    /// Drawn.
    Drawn(&'n mut Noise),
    /// Zeros that wait to be loaded or copied.
    Zeros,
    /// One zero behind every element of a tensor: shapes without memory.
    Outline,
}

/// The first values of a layer's weight and bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// Xavier and Glorot's `U(-l, l)`, `l = gain · √(6 / (fan_in + fan_out))`; the bias is zero.
    Glorot(f64),
    /// `U(-l, l)`, `l = 1 / √fan_in`, the bias too: what PyTorch does where nothing is said.
    FanIn,
    /// He's normal distribution, variance `2 / fan_in`; the bias as with `FanIn`.
    HeNormal,
    /// Zeros, the bias too: a branch that is silent at first.
    Zero,
}

/// What a finished network is made of.
pub(crate) struct Built {
    pub(crate) parameters: Parameters,
    pub(crate) feature_sites: Vec<FeatureSite>,
    pub(crate) attention_sites: Vec<AttentionSite>,
}

impl<'n> Builder<'n> {
    /// For a network whose weights are drawn from `noise`.
    pub(crate) fn drawn(noise: &'n mut Noise, device: Device) -> Self {
        Self::new(Values::Drawn(noise), device)
    }

    /// For a network whose weights are to be loaded or copied.
    pub(crate) fn zeros(device: Device) -> Self {
        Self::new(Values::Zeros, device)
    }

    /// For a network of which only names and shapes are asked. It takes no memory and must not be evaluated.
    pub(crate) fn outline() -> Self {
        Self::new(Values::Outline, Device::Cpu)
    }

    fn new(values: Values<'n>, device: Device) -> Self {
        Self {
            parameters: Parameters::new(device),
            values,
            part: Part::Embedding,
            feature_sites: Vec::new(),
            attention_sites: Vec::new(),
        }
    }

    /// What is registered from now on belongs to `part`.
    pub(crate) fn enter(&mut self, part: Part) {
        self.part = part;
    }

    /// A weight `[out, in, …]`.
    pub(crate) fn weight(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let receptive: i64 = shape[2..].iter().product();
        let (fan_in, fan_out) = (shape[1] * receptive, shape[0] * receptive);
        let values = match init {
            Init::Glorot(gain) => {
                self.uniform(shape, gain * (6.0 / (fan_in + fan_out) as f64).sqrt())
            }
            Init::FanIn => self.uniform(shape, 1.0 / (fan_in as f64).sqrt()),
            Init::HeNormal => self.normal_values(shape, (2.0 / fan_in as f64).sqrt()),
            Init::Zero => self.full(shape, 0.0),
        };
        let is_kernel = receptive > 1 && !matches!(self.values, Values::Outline);
        self.parameters.trainable(name, if is_kernel { channels_last(&values) } else { values })
    }

    /// The bias, `[out]`, of a weight with `fan_in` values for each output.
    pub(crate) fn bias(&mut self, name: &str, channels: i64, fan_in: i64, init: Init) -> Tensor {
        let values = match init {
            Init::Glorot(_) | Init::Zero => self.full(&[channels], 0.0),
            Init::FanIn | Init::HeNormal => self.uniform(&[channels], 1.0 / (fan_in as f64).sqrt()),
        };
        self.parameters.trainable(name, values)
    }

    /// A table of standard normal values times `scale`.
    pub(crate) fn normal(&mut self, name: &str, shape: &[i64], scale: f64) -> Tensor {
        let values = self.normal_values(shape, scale);
        self.parameters.trainable(name, values)
    }

    /// The same, never trained: a constant that no configuration implies.
    pub(crate) fn normal_buffer(&mut self, name: &str, shape: &[i64], scale: f64) -> Tensor {
        let values = self.normal_values(shape, scale);
        self.parameters.buffer(name, values)
    }

    /// Values that are all the same at first, such as a normalization's scale.
    pub(crate) fn constant(&mut self, name: &str, channels: i64, value: f64) -> Tensor {
        let values = self.full(&[channels], value);
        self.parameters.trainable(name, values)
    }

    /// A constant that belongs to the state dict.
    pub(crate) fn buffer(&mut self, name: &str, value: Tensor) -> Tensor {
        self.parameters.buffer(name, value)
    }

    /// A place whose features can be seen.
    pub(crate) fn feature_site(&mut self, name: &str) -> FeatureSite {
        let site = FeatureSite { name: name.into(), part: self.part };
        self.feature_sites.push(site.clone());
        site
    }

    /// An attention layer.
    pub(crate) fn attention_site(
        &mut self,
        name: &str,
        kind: AttentionKind,
        heads: i64,
    ) -> Arc<AttentionSite> {
        let site = AttentionSite { name: name.into(), part: self.part, kind, heads };
        self.attention_sites.push(site.clone());
        Arc::new(site)
    }

    /// The device the tensors live on.
    pub(crate) fn device(&self) -> Device {
        self.parameters.device()
    }

    /// How many trained tensors are registered.
    pub(crate) fn count(&self) -> usize {
        self.parameters.trained().count()
    }

    /// The trained tensors that were registered after the first `count`.
    pub(crate) fn trained_since(&self, count: usize) -> Vec<Tensor> {
        let handle = |entry: &Parameter| entry.tensor.shallow_clone();
        self.parameters.trained().skip(count).map(handle).collect()
    }

    /// Everything registered; places in the order of the network's parts, which may be another than that of the tensors.
    pub(crate) fn finish(self) -> Built {
        let Self { parameters, mut feature_sites, mut attention_sites, .. } = self;
        feature_sites.sort_by_key(|site| site.part);
        attention_sites.sort_by_key(|site| site.part);
        Built { parameters, feature_sites, attention_sites }
    }

    fn uniform(&mut self, shape: &[i64], limit: f64) -> Tensor {
        match &mut self.values {
            Values::Drawn(noise) => (noise.uniform(shape) * 2.0 - 1.0) * limit,
            _ => self.full(shape, 0.0),
        }
    }

    fn normal_values(&mut self, shape: &[i64], std: f64) -> Tensor {
        match &mut self.values {
            Values::Drawn(noise) => noise.normal(shape) * std,
            _ => self.full(shape, 0.0),
        }
    }

    fn full(&self, shape: &[i64], value: f64) -> Tensor {
        let options = (Kind::Float, self.parameters.device());
        match self.values {
            Values::Outline => Tensor::full([1], value, options).expand(shape, true),
            _ => Tensor::full(shape, value, options),
        }
    }
}

/// The same values with the channels beside each other in memory, as convolutions want them.
pub(crate) fn channels_last(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_fills(values: &Tensor, limit: f64) {
        let std = values.std(true).double_value(&[]);
        assert!((std / (limit / 3f64.sqrt()) - 1.0).abs() < 0.03, "{std}");
        let largest = values.abs().max().double_value(&[]);
        assert!(largest <= limit * 1.000_001 && largest > 0.99 * limit, "{largest} of {limit}");
    }

    #[test]
    fn weights_fill_their_uniform_range() {
        let mut noise = Noise::new(3);
        let mut builder = Builder::drawn(&mut noise, Device::Cpu);
        let weight = builder.weight("glorot", &[40, 20, 3, 3], Init::Glorot(0.5));
        assert_fills(&weight, 0.5 * (6.0f64 / (60.0 * 9.0)).sqrt());
        let weight = builder.weight("fan_in", &[40, 20, 3, 3], Init::FanIn);
        assert_fills(&weight, 1.0 / 180f64.sqrt());
        assert_fills(&builder.bias("bias", 4000, 180, Init::FanIn), 1.0 / 180f64.sqrt());
        assert_eq!(builder.weight("zero", &[4, 2], Init::Zero).abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn an_outline_takes_no_memory() {
        let mut builder = Builder::outline();
        let weight = builder.weight("w", &[1 << 20, 1 << 20, 3, 3], Init::FanIn);
        assert_eq!(weight.numel(), 9 << 40);
        assert_eq!(weight.stride(), [0; 4]);
        assert_eq!(builder.finish().parameters.count(), 9 << 40);
    }
}
