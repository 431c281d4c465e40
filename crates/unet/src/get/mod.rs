//! The generative equilibrium transformer.

mod block;
mod config;
mod fixed_point;
mod patches;

pub use config::GetConfig;
pub use fixed_point::{FixedPoint, Solution};

use crate::Result;
use crate::blocks::Linear;
use crate::builder::{Builder, Init};
use block::GetBlock;
use diffusion_core::{Cond, Generator, Noise, Parameters};
use patches::{FinalLayer, PatchEmbedding};
use tch::{Device, Kind, Tensor};

/// Turns noise into an image at one blow: the fixed point of a small transformer that the noise steers.
///
/// ```text
/// h = injection transformer(patches(x))        runs once
/// u = qkv_inj(h)                               a third for each equilibrium block
/// z = f(z; u, class)                           the equilibrium transformer, iterated
/// image = final_layer(z)
/// ```
///
/// A class is added to queries, keys and values of every block. It is a [`Generator`], not a backbone: it knows no
/// noise level. Names, shapes and order of its [`Parameters`] are those of the official state dict; the table
/// `pos_embed` is a constant there, and loaded.
///
/// # Source
/// Geng, Pokle & Kolter 2023, arXiv:2401.08639; official `models/get.py` with `torchdeq`.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Generator, Noise};
/// use unet::{Get, GetConfig};
/// let config = GetConfig { input_size: 8, hidden_size: 16, num_heads: 2, depth: 1, ..GetConfig::default() };
/// let network = Get::new(&config, &mut Noise::new(1), tch::Device::Cpu)?;
/// let z = Noise::new(2).normal(&[4, 3, 8, 8]);
/// assert_eq!(network.generate(&z, &Cond::none(), &mut Noise::new(3)).size(), [4, 3, 8, 8]);
/// # Ok::<(), unet::Error>(())
/// ```
#[derive(Debug)]
pub struct Get {
    config: GetConfig,
    embedding: PatchEmbedding,
    classes: Option<Tensor>,
    injection_blocks: Vec<GetBlock>,
    qkv_inj: Linear,
    equilibrium_blocks: Vec<GetBlock>,
    final_layer: FinalLayer,
    parameters: Parameters,
}

impl Get {
    /// A network with the official initial weights, drawn from `noise`. Its last layer starts at zero.
    ///
    /// # Errors
    /// As [`GetConfig::validate`].
    pub fn new(config: &GetConfig, noise: &mut Noise, device: Device) -> Result<Self> {
        Self::build(config, Builder::drawn(noise, device))
    }

    /// A network whose weights are zero, to be filled by [`Parameters::load`] or [`Parameters::copy_from`].
    ///
    /// # Errors
    /// As [`GetConfig::validate`].
    pub fn zeroed(config: &GetConfig, device: Device) -> Result<Self> {
        Self::build(config, Builder::zeros(device))
    }

    pub(crate) fn build(config: &GetConfig, mut builder: Builder<'_>) -> Result<Self> {
        config.validate()?;
        let &GetConfig { hidden_size, depth, deq_depth, num_classes, .. } = config;
        let embedding = PatchEmbedding::new(&mut builder, config);
        let table = [num_classes, 3 * hidden_size];
        let classes = (num_classes > 0)
            .then(|| builder.normal("y_embedder.embedding_table.weight", &table, 0.02));
        let blocks = |builder: &mut Builder<'_>, name: &str, depth: i64, mlp_ratio: f64| {
            let block = |i| GetBlock::new(builder, &format!("{name}.{i}"), config, mlp_ratio);
            (0..depth).map(block).collect::<Vec<_>>()
        };
        let injection_blocks = blocks(&mut builder, "blocks", depth, config.mlp_ratio);
        let injected = [hidden_size, 3 * hidden_size * deq_depth];
        let qkv_inj = Linear::without_bias(&mut builder, "qkv_inj", injected, Init::Glorot(1.0));
        let equilibrium_blocks =
            blocks(&mut builder, "deq_blocks", deq_depth, config.deq_mlp_ratio);
        let final_layer = FinalLayer::new(&mut builder, config);
        let parameters = builder.finish().parameters;
        Ok(Self {
            config: config.clone(),
            embedding,
            classes,
            injection_blocks,
            qkv_inj,
            equilibrium_blocks,
            final_layer,
            parameters,
        })
    }

    /// The configuration the network was built with.
    pub fn config(&self) -> &GetConfig {
        &self.config
    }

    /// The named tensors, in the official order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where iterations start: standard normal tokens, `[images, patches, hidden_size]`, on the network's device.
    pub fn start(&self, images: i64, noise: &mut Noise) -> Tensor {
        let patches = self.config.patches();
        let start = noise.normal(&[images, patches * patches, self.config.hidden_size]);
        start.to_device(self.parameters.device())
    }

    /// The images at the best states that `solver` finds from `start`, and the residuals on the way.
    ///
    /// # Shapes
    /// `x`: `[B, C, H, W]`, unit normal; `start`: as from [`Get::start`]; the solution's state: images `[B, C, H, W]`.
    ///
    /// # Panics
    /// If `x` or the labels have another shape than the configuration says, or a class is needed and missing.
    pub fn solve(&self, x: &Tensor, cond: &Cond, start: &Tensor, solver: FixedPoint) -> Solution {
        let injected = self.inject(x, cond);
        let Solution { state, residuals } = solver.solve(|z| self.equilibrium(z, &injected), start);
        Solution { state: self.final_layer.forward(&state), residuals }
    }

    /// The images after each of `steps` iterations from `start`: what training compares with its target.
    ///
    /// # Gradient
    /// Through all iterations.
    ///
    /// # Panics
    /// As [`Get::solve`].
    pub fn unroll(&self, x: &Tensor, cond: &Cond, start: &Tensor, steps: usize) -> Vec<Tensor> {
        let injected = self.inject(x, cond);
        let mut z = start.shallow_clone();
        let mut next = || {
            z = self.equilibrium(&z, &injected);
            self.final_layer.forward(&z)
        };
        (0..steps).map(|_| next()).collect()
    }

    /// What steers the equilibrium transformer.
    fn inject(&self, x: &Tensor, cond: &Cond) -> Injected {
        let &GetConfig { input_size, in_channels, .. } = &self.config;
        let found = x.size();
        assert!(
            found.len() == 4 && found[1..] == [in_channels, input_size, input_size],
            "`x` has shape {found:?}; this network needs [B, {in_channels}, {input_size}, {input_size}]"
        );
        let class = self.classes.as_ref().map(|table| self.class(table, cond, found[0]));
        let class_slice: Vec<&Tensor> = class.iter().collect();
        let tokens = self.embedding.forward(x);
        let injecting = |tokens: Tensor, block: &GetBlock| block.forward(&tokens, &class_slice);
        let tokens = self.injection_blocks.iter().fold(tokens, injecting);
        let parts = self.qkv_inj.forward(&tokens).chunk(self.config.deq_depth, -1);
        Injected { class, parts }
    }

    /// `[B, 1, 3 hidden_size]`.
    fn class(&self, table: &Tensor, cond: &Cond, images: i64) -> Tensor {
        let expected = [images, self.config.num_classes];
        let Some(labels) = &cond.labels else {
            panic!("this network needs a class for each image: `labels` {expected:?}, one-hot")
        };
        let found = labels.size();
        assert!(
            found == expected,
            "`labels` have shape {found:?}; this network needs {expected:?}"
        );
        labels.to_kind(Kind::Float).matmul(table).unsqueeze(1)
    }

    /// One application of the equilibrium transformer.
    fn equilibrium(&self, z: &Tensor, Injected { class, parts }: &Injected) -> Tensor {
        let steps = self.equilibrium_blocks.iter().zip(parts);
        steps.fold(z.shallow_clone(), |z, (block, part)| {
            let injections: Vec<&Tensor> = class.iter().chain([part]).collect();
            block.forward(&z, &injections)
        })
    }
}

/// What the injection transformer and the class contribute to every iteration.
struct Injected {
    class: Option<Tensor>,
    /// For each equilibrium block, `[B, patches, 3 hidden_size]`.
    parts: Vec<Tensor>,
}

impl Generator for Get {
    /// Six iterations at most, as published samples are made, from a start drawn from `noise`: the same `z` gives
    /// slightly different images for different `noise`.
    fn generate(&self, z: &Tensor, cond: &Cond, noise: &mut Noise) -> Tensor {
        let start = self.start(z.size()[0], noise);
        tch::no_grad(|| self.solve(z, cond, &start, FixedPoint::default()).state)
    }

    fn nfe(&self) -> usize {
        1
    }
}
