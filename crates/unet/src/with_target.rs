//! A network that also knows where a step is to arrive.

use crate::Embedded;
use crate::blocks::{Linear, Order, PositionalEmbedding};
use crate::builder::{Builder, Init};
use diffusion_core::{Backbone, Cond, Noise, Parameters, TwoTime};
use tch::Tensor;

/// Channels of the positional embedding of a level.
const CHANNELS: i64 = 128;

/// A network and two layers that add the level to arrive at to its embedding.
///
/// ```text
/// emb = emb(c_noise, …) + target_layer1(silu(target_layer0(position(c_target) - position(c_noise))))
/// ```
///
/// The layers have no bias, so that nothing is added where the levels are equal, and the last one starts at zero: a
/// student takes over a teacher's weights, and learns from there what arriving elsewhere means. They add
/// `target_layer0.weight` and `target_layer1.weight` to the network's tensors.
///
/// # Source
/// The second embedding of Kim et al. 2024, arXiv:2310.02279 (CTM); the difference is ours.
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Cond, Noise, TwoTime};
/// use unet::{SongUnet, SongUnetConfig, WithTarget};
/// let config = SongUnetConfig { model_channels: 8, num_blocks: 1, ..SongUnetConfig::cifar10(0) };
/// let network = SongUnet::new(&config, &mut Noise::new(1), tch::Device::Cpu)?;
/// let network = WithTarget::new(network, &mut Noise::new(2));
/// let (x, from) = (Noise::new(3).normal(&[1, 3, 32, 32]), tch::Tensor::from_slice(&[1.1f32]));
/// let to = tch::Tensor::from_slice(&[-1.5f32]);
/// let jump = network.forward_between(&x, &from, &to, &Cond::none(), None);
/// assert_eq!(jump, network.forward(&x, &from, &Cond::none(), None)); // still that of one time
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct WithTarget<B> {
    network: B,
    position: PositionalEmbedding,
    layer0: Linear,
    layer1: Linear,
    parameters: Parameters,
}

impl<B: Embedded> WithTarget<B> {
    /// Adds the layers, their first weights drawn from `noise`.
    pub fn new(network: B, noise: &mut Noise) -> Self {
        let device = network.parameters().device();
        Self::with_layers(network, Builder::drawn(noise, device))
    }

    fn with_layers(network: B, mut layers: Builder<'_>) -> Self {
        let width = network.embedding_width();
        let mut layer = |name, features, init| {
            Linear::without_bias(&mut layers, &format!("target_{name}"), features, init)
        };
        let layer0 = layer("layer0", [CHANNELS, width], Init::FanIn);
        let layer1 = layer("layer1", [width, width], Init::Zero);
        let device = layers.device();
        let mut parameters = Parameters::new(device);
        parameters.adopt(network.parameters());
        parameters.adopt(&layers.finish().parameters);
        let position = PositionalEmbedding::new(CHANNELS, Order::CosSin, 0.0, device);
        Self { network, position, layer0, layer1, parameters }
    }

    /// The network of one time.
    pub fn network(&self) -> &B {
        &self.network
    }
}

impl<B: Embedded> TwoTime for WithTarget<B> {
    fn forward_between(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        c_target: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        let way = self.position.forward(c_target) - self.position.forward(c_noise);
        let shift = self.layer1.forward(&self.layer0.forward(&way).silu());
        self.network.forward_shifted(x, c_noise, &shift, cond, dropout)
    }
}

impl<B: Embedded> Backbone for WithTarget<B> {
    /// To arrive where it starts: the answer of the network of one time.
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        self.network.forward(x, c_noise, cond, dropout)
    }

    /// Those of the network, then those of the layers.
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn twin(&self) -> Box<dyn Backbone> {
        let builder = Builder::zeros(self.parameters.device());
        let twin = WithTarget::with_layers(self.network.embedded_twin(), builder);
        twin.parameters.copy_from(&self.parameters).expect("both networks have the same tensors");
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
    use crate::{
        DhariwalUnet, DhariwalUnetConfig, GuidedUnet, GuidedUnetConfig, SongUnet, SongUnetConfig,
        Unet2d, Unet2dConfig,
    };
    use tch::{Device, Kind};

    fn song() -> SongUnet {
        let config = SongUnetConfig {
            img_resolution: 8,
            model_channels: 8,
            channel_mult: vec![1],
            num_blocks: 1,
            ..SongUnetConfig::default()
        };
        SongUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap()
    }

    fn adm() -> DhariwalUnet {
        let config = DhariwalUnetConfig {
            img_resolution: 8,
            model_channels: 64,
            channel_mult: vec![1],
            num_blocks: 1,
            ..DhariwalUnetConfig::default()
        };
        DhariwalUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap()
    }

    fn guided() -> GuidedUnet {
        let config = GuidedUnetConfig {
            image_size: 8,
            model_channels: 32,
            channel_mult: vec![1.0],
            num_res_blocks: 1,
            ..GuidedUnetConfig::default()
        };
        GuidedUnet::new(&config, &mut Noise::new(1), Device::Cpu).unwrap()
    }

    fn unet_2d() -> Unet2d {
        let config = Unet2dConfig {
            block_out_channels: vec![8, 16],
            down_block_types: ["DownBlock2D", "AttnDownBlock2D"].map(Into::into).into(),
            up_block_types: ["AttnUpBlock2D", "UpBlock2D"].map(Into::into).into(),
            norm_num_groups: 4,
            ..Unet2dConfig::ddpm_cifar10()
        };
        Unet2d::new(&config, &mut Noise::new(1), Device::Cpu).unwrap()
    }

    fn check(network: impl Embedded + 'static) {
        let network = WithTarget::new(network, &mut Noise::new(2));
        let mut noise = Noise::new(3);
        tch::no_grad(|| {
            for entry in network.parameters().trained() {
                let moved = noise.normal(&entry.tensor.size()) * 0.1;
                let _ = entry.tensor.shallow_clone().g_add_(&moved);
            }
        });
        let x = noise.normal(&[2, 3, 8, 8]);
        let (from, to) = (Tensor::from_slice(&[1f32, 0.5]), Tensor::from_slice(&[0f32, 0.5]));
        let jump = network.forward_between(&x, &from, &to, &Cond::none(), None);
        let stay = network.forward(&x, &from, &Cond::none(), None);
        assert_ne!(jump.get(0), stay.get(0));
        assert_eq!(jump.get(1), stay.get(1));
        let twin = network.twin();
        assert_eq!(twin.forward(&x, &from, &Cond::none(), None), stay);
        let layer =
            |parameters: &Parameters| parameters.get("target_layer1.weight").unwrap().copy();
        assert_eq!(layer(twin.parameters()), layer(network.parameters()));
        jump.square().sum(Kind::Float).backward();
        for name in ["target_layer0.weight", "target_layer1.weight"] {
            let grad = network.parameters().get(name).unwrap().grad();
            assert!(grad.abs().max().double_value(&[]) > 0.0, "{name}");
        }
    }

    #[test]
    fn the_target_matters_where_it_differs() {
        check(song());
        check(adm());
        check(guided());
        check(unet_2d());
    }
}
