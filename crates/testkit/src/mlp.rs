//! A small network that can be trained within seconds.

use diffusion_core::{Backbone, Cond, Noise, Parameters, shape};
use tch::{Kind, Tensor};

/// The multiples of the noise argument whose sines and cosines the network sees.
const FREQUENCIES: [f64; 3] = [1.0, 2.0, 4.0];

/// The architecture of a [`MlpBackbone`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MlpConfig {
    /// Channels of the images.
    pub channels: i64,
    /// Width of the hidden layers.
    pub width: i64,
    /// Number of hidden layers, at least 1.
    pub hidden: usize,
    /// Number of classes; 0 ignores labels.
    pub classes: i64,
    /// Dropout probability behind every hidden layer, in `[0, 1)`.
    pub dropout: f64,
}

impl Default for MlpConfig {
    /// Two channels, three hidden layers of 64, no classes, no dropout.
    fn default() -> Self {
        Self { channels: 2, width: 64, hidden: 3, classes: 0, dropout: 0.0 }
    }
}

/// A multilayer perceptron that every pixel passes alone: made for data of one pixel, `[B, C, 1, 1]`.
///
/// Its input is the pixel, the noise argument and sines and cosines of its multiples; class labels add a learned vector
/// to the first hidden layer. Hidden layers are followed by SiLU and, in training, dropout.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Cond, Noise};
/// use testkit::{MlpBackbone, MlpConfig};
/// let mut noise = Noise::new(0);
/// let network = MlpBackbone::new(MlpConfig::default(), &mut noise);
/// let x = noise.normal(&[5, 2, 1, 1]);
/// let y = network.forward(&x, &noise.uniform(&[5]), &Cond::none(), None);
/// assert_eq!(y.size(), [5, 2, 1, 1]);
/// ```
#[derive(Debug)]
pub struct MlpBackbone {
    config: MlpConfig,
    parameters: Parameters,
    layers: Vec<[Tensor; 2]>,
    embedding: Option<Tensor>,
}

impl MlpBackbone {
    /// A network with fresh weights drawn from `noise`, on its device.
    ///
    /// Hidden layers keep the variance of their input (He et al. 2015); the output layer starts ten times smaller, so
    /// that a preconditioned network starts near its skip connection.
    ///
    /// # Panics
    /// If `config.hidden` is 0.
    pub fn new(config: MlpConfig, noise: &mut Noise) -> Self {
        assert!(config.hidden > 0, "a multilayer perceptron needs at least 1 hidden layer");
        let device = noise.device();
        let mut parameters = Parameters::new(device);
        let features = config.channels + 1 + 2 * FREQUENCIES.len() as i64;
        let mut fan_in = features;
        let mut layers = Vec::new();
        for index in 0..=config.hidden {
            let last = index == config.hidden;
            let (fan_out, gain) =
                if last { (config.channels, 0.1) } else { (config.width, 2f64.sqrt()) };
            let weight = noise.normal(&[fan_out, fan_in]) * (gain / (fan_in as f64).sqrt());
            let bias = Tensor::zeros([fan_out], (Kind::Float, device));
            layers.push([
                parameters.trainable(&format!("layers.{index}.weight"), weight),
                parameters.trainable(&format!("layers.{index}.bias"), bias),
            ]);
            fan_in = fan_out;
        }
        let embedding = (config.classes > 0).then(|| {
            let weight = noise.normal(&[config.width, config.classes]);
            parameters.trainable("embedding.weight", weight)
        });
        Self { config, parameters, layers, embedding }
    }

    /// The input of the first layer: pixels with their noise features behind, `[B, …, features]`.
    fn features(&self, x: &Tensor, c_noise: &Tensor) -> Tensor {
        let time = shape::per_image(&c_noise.to_kind(Kind::Float), x);
        let waves = FREQUENCIES.iter().flat_map(|&f| [(&time * f).sin(), (&time * f).cos()]);
        let mut one_pixel = x.size();
        one_pixel[1] = 1;
        let mut columns = vec![x.to_kind(Kind::Float)];
        columns.push(time.expand(&one_pixel, false));
        columns.extend(waves.map(|wave| wave.expand(&one_pixel, false)));
        Tensor::cat(&columns, 1).movedim_int(1, -1)
    }

    /// What the class labels add to the first hidden layer, `[B, 1, …, width]`.
    fn class_shift(&self, cond: &Cond, like: &Tensor) -> Option<Tensor> {
        let (embedding, labels) = (self.embedding.as_ref()?, cond.labels.as_ref()?);
        let expected = [like.size()[0], self.config.classes];
        let found = labels.size();
        assert!(found == expected, "`labels` has shape {found:?}, but {expected:?} is needed");
        let mut broadcast = vec![1; like.dim()];
        broadcast[0] = expected[0];
        broadcast[like.dim() - 1] = self.config.width;
        Some(labels.linear(embedding, None::<&Tensor>).view(broadcast.as_slice()))
    }
}

impl Backbone for MlpBackbone {
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        mut dropout: Option<&mut Noise>,
    ) -> Tensor {
        let (output, hidden) = self.layers.split_last().expect("there is an output layer");
        let mut h = self.features(x, c_noise);
        for (index, [weight, bias]) in hidden.iter().enumerate() {
            h = h.linear(weight, Some(bias));
            if index == 0
                && let Some(shift) = self.class_shift(cond, &h)
            {
                h += shift;
            }
            h = h.silu();
            if self.config.dropout > 0.0
                && let Some(noise) = dropout.as_deref_mut()
            {
                h *= noise.dropout_mask(&h.size(), self.config.dropout).to_device(h.device());
            }
        }
        h.linear(&output[0], Some(&output[1])).movedim_int(-1, 1)
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn twin(&self) -> Box<dyn Backbone> {
        let mut noise = Noise::new(0).on(self.parameters.device());
        let twin = Self::new(self.config, &mut noise);
        twin.parameters.copy_from(&self.parameters).expect("twins have the same tensors");
        Box::new(twin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Denoiser;
    use diffusion_schedule::{Preconditioned, Preconditioning};
    use tch::Device;

    fn network(config: MlpConfig) -> MlpBackbone {
        MlpBackbone::new(config, &mut Noise::new(3))
    }

    #[test]
    fn labels_and_dropout_matter_only_where_asked_for() {
        let config = MlpConfig { classes: 2, dropout: 0.5, ..MlpConfig::default() };
        let net = network(config);
        let x = Noise::new(1).normal(&[4, 2, 3, 3]);
        let time = Noise::new(2).normal(&[4]);
        let answer = |classes: &[i64; 4], dropout: Option<&mut Noise>| {
            net.forward(&x, &time, &Cond::classes(classes, 2, Device::Cpu).unwrap(), dropout)
        };
        let plain = answer(&[0; 4], None);
        assert_eq!(plain.size(), x.size());
        assert_eq!(plain, answer(&[0; 4], None));
        let other = answer(&[0, 1, 0, 0], None);
        assert_eq!(plain.get(0), other.get(0));
        assert_ne!(plain.get(1), other.get(1));
        let dropped = answer(&[0; 4], Some(&mut Noise::new(5)));
        assert_ne!(plain, dropped);
        assert_eq!(dropped, answer(&[0; 4], Some(&mut Noise::new(5))));
        assert_eq!(net.twin().forward(&x, &time, &Cond::none(), None), {
            net.forward(&x, &time, &Cond::none(), None)
        });
    }

    #[test]
    fn pixels_and_images_do_not_mix() {
        let net = network(MlpConfig::default());
        let x = Noise::new(1).normal(&[3, 2, 1, 1]);
        let time = Noise::new(2).normal(&[3]);
        let all = net.forward(&x, &time, &Cond::none(), None);
        let one = net.forward(&x.narrow(0, 2, 1), &time.narrow(0, 2, 1), &Cond::none(), None);
        assert!(crate::max_relative_error(&all.narrow(0, 2, 1), &one) < 1e-5);
    }

    #[test]
    fn every_parameter_gets_a_gradient() {
        let config = MlpConfig { classes: 2, hidden: 2, ..MlpConfig::default() };
        let denoiser = Preconditioned::new(network(config), Preconditioning::default());
        let x = Noise::new(1).normal(&[6, 2, 1, 1]);
        let cond = Cond::classes(&[0, 1, 0, 1, 0, 1], 2, Device::Cpu).unwrap();
        let sigma = Noise::new(2).uniform(&[6]) + 0.1;
        let loss = denoiser.denoise(&x, &sigma, &cond).square().mean(Kind::Float);
        loss.backward();
        for entry in denoiser.parameters() {
            let size = entry.tensor.grad().abs().sum(Kind::Float).double_value(&[]);
            assert!(size > 0.0, "{} has no gradient", entry.name);
        }
    }
}
