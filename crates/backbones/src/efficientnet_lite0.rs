//! EfficientNet-Lite0 with TensorFlow's padding.

use crate::blocks::{ConvNorm, Geometry, Linear, channels_last};
use crate::tensors::Tensors;
use crate::{Result, WeightFile};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Stages: number of blocks, kernel, stride of the first block, expansion, output channels.
const STAGES: [(i64, i64, i64, i64, i64); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// The smallest EfficientNet-Lite, whose features the projected discriminators of StyleGAN-XL and GDD see.
///
/// # Gradient
/// Into the images; the weights are frozen.
///
/// # Source
/// Tan & Le 2019, arXiv:1905.11946; timm, `tf_efficientnet_lite0`.
///
/// # Example
/// ```
/// let network = backbones::EfficientNetLite0::zeroed(tch::Device::Cpu);
/// let x = tch::Tensor::zeros([1, 3, 64, 64], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(network.stages(&x)[6].size(), [1, 320, 2, 2]);
/// ```
#[derive(Debug)]
pub struct EfficientNetLite0 {
    stem: Padded,
    stages: Vec<Vec<Block>>,
    head: Padded,
    classifier: Linear,
    parameters: Parameters,
}

impl EfficientNetLite0 {
    /// timm's weights.
    pub const TIMM: WeightFile = WeightFile {
        name: "tf_efficientnet_lite0-0aa007d2.pth",
        url: "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_lite0-0aa007d2.pth",
        sha256: "0aa007d2",
        license: "Apache-2.0",
    };

    /// The network with the weights of a file.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, device: Device) -> Result<Self> {
        let network = Self::zeroed(device);
        crate::read_into(path, &network.parameters, "")?;
        Ok(network)
    }

    /// The network with weights of zero.
    pub fn zeroed(device: Device) -> Self {
        let mut tensors = Tensors::new(device);
        let stem = Padded::new(&mut tensors, ["conv_stem", "bn1"], [3, 32], [3, 2]);
        let mut from = 32;
        let mut stage = |(number, (blocks, kernel, stride, expansion, to))| {
            let block = |i| {
                let stride = if i == 0 { stride } else { 1 };
                let name = format!("blocks.{number}.{i}");
                let block =
                    Block::new(&mut tensors, &name, [from, to], [kernel, stride], expansion);
                from = to;
                block
            };
            (0..blocks).map(block).collect()
        };
        let stages = (0..).zip(STAGES).map(|row: (i64, _)| stage(row)).collect();
        let head = Padded::new(&mut tensors, ["conv_head", "bn2"], [320, 1280], [1, 1]);
        let classifier = Linear::new(&mut tensors, "classifier", [1280, 1000]);
        Self { stem, stages, head, classifier, parameters: tensors.finish() }
    }

    /// The named tensors, in timm's order.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The stem, activated. `x`: `[B, 3, H, W]`, scaled by ImageNet's mean and deviation; returns `[B, 32, H/2, W/2]`.
    pub fn stem(&self, x: &Tensor) -> Tensor {
        relu6(&self.stem.forward(&channels_last(x)))
    }

    /// The outputs of the seven stages; the last three resolutions are those of stages 2, 4 and 6.
    pub fn stages(&self, x: &Tensor) -> [Tensor; 7] {
        let mut h = self.stem(x);
        let outputs: Vec<Tensor> = self
            .stages
            .iter()
            .map(|blocks| {
                h = blocks.iter().fold(h.shallow_clone(), |h, block| block.forward(&h));
                h.shallow_clone()
            })
            .collect();
        outputs.try_into().expect("seven stages")
    }

    /// The scores of 1000 classes, `[B, 1000]`.
    pub fn logits(&self, x: &Tensor) -> Tensor {
        let [.., last] = self.stages(x);
        let pooled =
            relu6(&self.head.forward(&last)).mean_dim([2, 3].as_slice(), false, Kind::Float);
        self.classifier.forward(&pooled)
    }
}

/// Expands the channels, convolves each by itself, and contracts them again without activation.
#[derive(Debug)]
struct Block {
    expand: Option<Padded>,
    depthwise: Padded,
    contract: Padded,
    residual: bool,
}

impl Block {
    fn new(
        tensors: &mut Tensors,
        name: &str,
        [from, to]: [i64; 2],
        [kernel, stride]: [i64; 2],
        expansion: i64,
    ) -> Self {
        let inner = from * expansion;
        let part = |part: &str| format!("{name}.{part}");
        let mut layer = |[conv, norm]: [&str; 2], channels, geometry| {
            Padded::new(tensors, [&part(conv), &part(norm)], channels, geometry)
        };
        let residual = stride == 1 && from == to;
        if expansion == 1 {
            let depthwise = layer(["conv_dw", "bn1"], [inner, inner], [kernel, stride]);
            let contract = layer(["conv_pw", "bn2"], [inner, to], [1, 1]);
            return Self { expand: None, depthwise, contract, residual };
        }
        let expand = Some(layer(["conv_pw", "bn1"], [from, inner], [1, 1]));
        let depthwise = layer(["conv_dw", "bn2"], [inner, inner], [kernel, stride]);
        let contract = layer(["conv_pwl", "bn3"], [inner, to], [1, 1]);
        Self { expand, depthwise, contract, residual }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let expanded = self.expand.as_ref().map(|expand| relu6(&expand.forward(x)));
        let h = relu6(&self.depthwise.forward(expanded.as_ref().unwrap_or(x)));
        let h = self.contract.forward(&h);
        if self.residual { h + x } else { h }
    }
}

/// A normalized convolution, padded so that `⌈size / stride⌉` pixels come out, the odd pixel at the end.
#[derive(Debug)]
struct Padded {
    conv: ConvNorm,
    kernel: i64,
    stride: i64,
}

impl Padded {
    /// A kernel above 1 that keeps the channels is depthwise.
    fn new(
        tensors: &mut Tensors,
        names: [&str; 2],
        channels: [i64; 2],
        [kernel, stride]: [i64; 2],
    ) -> Self {
        let groups = if kernel > 1 && channels[0] == channels[1] { channels[0] } else { 1 };
        let geometry = Geometry { groups, ..Geometry::valid(kernel, stride) };
        Self { conv: ConvNorm::new(tensors, names, channels, geometry, 1e-3), kernel, stride }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let [.., height, width] = x.size()[..] else { panic!("`x` must have four axes") };
        let missing = |size: i64| {
            let out = (size + self.stride - 1) / self.stride;
            ((out - 1) * self.stride + self.kernel - size).max(0)
        };
        let (rows, columns) = (missing(height), missing(width));
        if rows == 0 && columns == 0 {
            return self.conv.forward(x);
        }
        let around = [columns / 2, columns - columns / 2, rows / 2, rows - rows / 2];
        self.conv.forward(&x.constant_pad_nd(around))
    }
}

fn relu6(x: &Tensor) -> Tensor {
    x.clamp(0.0, 6.0)
}
