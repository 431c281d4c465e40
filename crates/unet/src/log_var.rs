//! Any network, with a head that learns how uncertain it is.

use crate::builder::{Builder, Init};
use diffusion_core::{Backbone, Cond, LogVar, Noise, Parameters};
use std::f64::consts::{SQRT_2, TAU};
use tch::{Kind, Tensor};

/// Random frequencies that the head sees a noise level through.
const CHANNELS: i64 = 128;

/// A network and a linear map of random Fourier features of its noise argument.
///
/// ```text
/// log_var(c) = Σ_i w_i √2 cos(f_i c + φ_i),  f_i ~ 2π N(0, 1),  φ_i ~ U(0, 2π)
/// ```
///
/// The weights start at zero: an error of variance 1 at every level, the loss of training without a head. The head adds
/// `logvar_fourier.freqs`, `logvar_fourier.phases` and `logvar_linear.weight` to the network's tensors; EDM2's
/// checkpoints have these names, but normalize the weight, so that their heads are not read.
///
/// # Source
/// Karras et al. 2024, arXiv:2312.02696, appendix B.3; official `training/networks_edm2.py`, `Precond`.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, LogVar, Noise};
/// use unet::{SongUnet, SongUnetConfig, WithLogVar};
/// let config = SongUnetConfig { model_channels: 8, num_blocks: 1, ..SongUnetConfig::cifar10(0) };
/// let network = SongUnet::new(&config, &mut Noise::new(1), tch::Device::Cpu)?;
/// let network = WithLogVar::new(network, &mut Noise::new(2));
/// assert_eq!(network.log_var(&tch::Tensor::from_slice(&[0.3f32])).double_value(&[0]), 0.0);
/// assert!(network.parameters().get("logvar_linear.weight").is_some());
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct WithLogVar<B> {
    network: B,
    frequencies: Tensor,
    phases: Tensor,
    weight: Tensor,
    parameters: Parameters,
}

impl<B: Backbone> WithLogVar<B> {
    /// Adds a head whose frequencies are drawn from `noise`.
    pub fn new(network: B, noise: &mut Noise) -> Self {
        let frequencies = noise.normal(&[CHANNELS]) * TAU;
        let phases = noise.uniform(&[CHANNELS]) * TAU;
        Self::with_features(network, frequencies, phases)
    }

    fn with_features(network: B, frequencies: Tensor, phases: Tensor) -> Self {
        let mut head = Builder::zeros(network.parameters().device());
        let frequencies = head.buffer("logvar_fourier.freqs", frequencies);
        let phases = head.buffer("logvar_fourier.phases", phases);
        let weight = head.weight("logvar_linear.weight", &[1, CHANNELS], Init::Zero);
        let mut parameters = Parameters::new(network.parameters().device());
        parameters.adopt(network.parameters());
        parameters.adopt(&head.finish().parameters);
        Self { network, frequencies, phases, weight, parameters }
    }

    /// The network without the head.
    pub fn network(&self) -> &B {
        &self.network
    }
}

impl<B: Backbone> LogVar for WithLogVar<B> {
    fn log_var(&self, c_noise: &Tensor) -> Tensor {
        let angles = c_noise.to_kind(Kind::Float).outer(&self.frequencies) + &self.phases;
        (angles.cos() * SQRT_2).linear(&self.weight, None::<&Tensor>).squeeze_dim(1)
    }
}

impl<B: Backbone> Backbone for WithLogVar<B> {
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        self.network.forward(x, c_noise, cond, dropout)
    }

    /// Those of the network, then those of the head.
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn twin(&self) -> Box<dyn Backbone> {
        let features = [&self.frequencies, &self.phases].map(Tensor::copy);
        let [frequencies, phases] = features;
        let twin = WithLogVar::with_features(self.network.twin(), frequencies, phases);
        let _no_grad = tch::no_grad_guard();
        twin.weight.shallow_clone().copy_(&self.weight);
        Box::new(twin)
    }

    fn prepare(&self) {
        self.network.prepare();
    }

    fn recompute(&self, on: bool) {
        self.network.recompute(on);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SongUnet, SongUnetConfig};
    use tch::Device;

    fn network() -> WithLogVar<SongUnet> {
        let config = SongUnetConfig {
            img_resolution: 8,
            model_channels: 8,
            channel_mult: vec![1],
            num_blocks: 1,
            ..SongUnetConfig::default()
        };
        let network = SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
        WithLogVar::new(network, &mut Noise::new(2))
    }

    /// Gradient descent on the loss of the docs, with errors whose size depends on the level alone.
    #[test]
    fn the_head_learns_the_size_of_the_error() {
        let network = network();
        let levels = Tensor::from_slice(&[-1f32, 0.0, 1.0]);
        let squared_error = Tensor::from_slice(&[4f32, 1.0, 0.25]);
        for _ in 0..300 {
            let u = network.log_var(&levels);
            (&squared_error / u.exp() + &u).sum(Kind::Float).backward();
            let mut weight = network.weight.shallow_clone();
            tch::no_grad(|| weight -= network.weight.grad() * 2e-3);
            weight.zero_grad();
        }
        let learned = tch::no_grad(|| network.log_var(&levels).exp());
        assert!(learned.allclose(&squared_error, 1e-2, 1e-3, false), "{learned:?}");
    }

    #[test]
    fn head_and_network_are_flattened_and_copied_together() {
        let network = network();
        let _ = network.parameters().flatten(|_| true).unwrap();
        tch::no_grad(|| {
            for entry in network.parameters().trained() {
                let _ = entry.tensor.shallow_clone().fill_(0.1);
            }
        });
        let level = Tensor::from_slice(&[0.5f32]);
        let before = network.log_var(&level);
        assert_ne!(before.double_value(&[0]), 0.0);
        let x = Noise::new(3).normal(&[1, 3, 8, 8]);
        let answer = |network: &dyn Backbone| network.forward(&x, &level, &Cond::none(), None);
        assert_eq!(answer(network.network()), answer(&network)); // the network sees the moved tensors
        let twin = network.twin();
        assert_eq!(answer(&*twin), answer(&network));
        assert_eq!(twin.parameters().count(), network.parameters().count());
        let weight = twin.parameters().get("logvar_linear.weight").unwrap();
        assert_eq!(*weight, network.weight);
    }
}
