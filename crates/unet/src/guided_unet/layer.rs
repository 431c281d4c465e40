//! Entries of encoder and decoder, and how they make the halves of the network.

use super::layout::{ModuleShape, Row};
use super::resize::Resize;
use crate::blocks::{
    Conv2d, GroupNorm, GuidedAttention, GuidedBlock, GuidedBlockStyle, Pass, Resample, Segment,
    guided_norm,
};
use crate::builder::{Builder, Init};
use diffusion_core::FeatureSite;
use std::ops::ControlFlow;
use tch::Tensor;

/// A row of the network's layout.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its output, named as in the state dict.
    pub(crate) site: FeatureSite,
    modules: Vec<Module>,
}

#[derive(Debug)]
enum Module {
    Conv(Conv2d),
    Block(Segment),
    Attention(Segment),
    Resize(Resize),
}

impl Layer {
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        row: &Row,
        style: GuidedBlockStyle,
    ) -> Self {
        builder.enter(row.part);
        let site = builder.feature_site(name);
        let module = |(idx, shape): (usize, &ModuleShape)| {
            Module::new(builder, &format!("{name}.{idx}"), *shape, style)
        };
        Self { site, modules: row.modules.iter().enumerate().map(module).collect() }
    }

    /// The layers `name.0`, `name.1` and so on.
    pub(crate) fn list(
        builder: &mut Builder<'_>,
        name: &str,
        rows: &[Row],
        style: GuidedBlockStyle,
    ) -> Vec<Self> {
        let layer = |(idx, row)| Self::new(builder, &format!("{name}.{idx}"), row, style);
        rows.iter().enumerate().map(layer).collect()
    }

    /// `embs`: `silu(emb)`, `[B, emb_channels]`, and what else the blocks take.
    pub(crate) fn forward(&self, x: &Tensor, embs: &[&Tensor], pass: &mut Pass<'_>) -> Tensor {
        self.modules.iter().fold(x.shallow_clone(), |x, module| module.forward(&x, embs, pass))
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(crate) fn prepare(&self) {
        self.modules.iter().for_each(Module::prepare);
    }
}

impl Module {
    fn new(
        builder: &mut Builder<'_>,
        name: &str,
        shape: ModuleShape,
        style: GuidedBlockStyle,
    ) -> Self {
        match shape {
            ModuleShape::Conv(channels) => {
                let keep = Resample::Keep;
                Self::Conv(Conv2d::new(builder, name, channels, 3, keep, Init::FanIn))
            }
            ModuleShape::Block(shape) => {
                Self::Block(Segment::new(builder, style.dropout > 0.0, |builder| {
                    GuidedBlock::new(builder, name, shape, style)
                }))
            }
            ModuleShape::Attention(shape) => {
                Self::Attention(Segment::new(builder, false, |builder| {
                    GuidedAttention::new(builder, name, shape)
                }))
            }
            ModuleShape::Resize(shape) => Self::Resize(Resize::new(builder, name, shape)),
        }
    }

    fn forward(&self, x: &Tensor, embs: &[&Tensor], pass: &mut Pass<'_>) -> Tensor {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Block(segment) => segment.forward(&[&[x], embs].concat(), pass),
            Self::Attention(segment) => segment.forward(&[x], pass),
            Self::Resize(resize) => resize.forward(x),
        }
    }

    fn prepare(&self) {
        match self {
            Self::Conv(conv) => conv.prepare(),
            Self::Block(segment) | Self::Attention(segment) => segment.prepare(),
            Self::Resize(resize) => resize.prepare(),
        }
    }
}

/// Evaluates an encoder; returns the outputs of all entries.
pub(crate) fn encode(
    layers: &[Layer],
    x: &Tensor,
    embs: &[&Tensor],
    pass: &mut Pass<'_>,
) -> ControlFlow<(), Vec<Tensor>> {
    let mut outputs: Vec<Tensor> = Vec::with_capacity(layers.len());
    for layer in layers {
        let x = layer.forward(outputs.last().unwrap_or(x), embs, pass);
        pass.show(&layer.site, &x)?;
        outputs.push(x);
    }
    ControlFlow::Continue(outputs)
}

/// What comes after the encoder: `middle_block`, `output_blocks` and `out`.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) middle: Layer,
    pub(crate) layers: Vec<Layer>,
    pub(crate) readout: Readout,
}

impl Decoder {
    /// `skips`: the outputs of the encoder; returns `[B, out_channels, H, W]`.
    pub(crate) fn forward(
        &self,
        mut skips: Vec<Tensor>,
        embs: &[&Tensor],
        pass: &mut Pass<'_>,
    ) -> ControlFlow<(), Tensor> {
        let coarsest = skips.last().expect("an encoder begins with a convolution");
        let mut x = self.middle.forward(coarsest, embs, pass);
        pass.show(&self.middle.site, &x)?;
        for layer in &self.layers {
            let skip = skips.pop().expect("as many entries in the encoder as in the decoder");
            x = layer.forward(&Tensor::cat(&[x, skip], 1), embs, pass);
            pass.show(&layer.site, &x)?;
        }
        ControlFlow::Continue(self.readout.forward(&x))
    }

    /// Brings the weights into the form that evaluation is fastest with.
    pub(crate) fn prepare(&self) {
        [&self.middle].into_iter().chain(&self.layers).for_each(Layer::prepare);
    }
}

/// From the last features to the answer: normalization, SiLU, and a convolution that starts at zero.
#[derive(Debug)]
pub(crate) struct Readout {
    norm: GroupNorm,
    conv: Conv2d,
}

impl Readout {
    /// The layers `name.0` and `name.2`. `channels`: `[in, out]`.
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, channels: [i64; 2]) -> Self {
        let norm = guided_norm(builder, &format!("{name}.0"), channels[0]);
        let (name, keep) = (format!("{name}.2"), Resample::Keep);
        Self { norm, conv: Conv2d::new(builder, &name, channels, 3, keep, Init::Zero) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.conv.forward(&self.norm.forward_silu(x)).contiguous()
    }
}
