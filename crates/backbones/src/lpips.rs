//! The learned perceptual distance.

use crate::tensors::Tensors;
use crate::vgg16::{Pooling, Stages, Vgg16Variant};
use crate::weight_file::read;
use crate::{Error, Result, WeightFile};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Channels of the five taps.
const CHANNELS: [i64; 5] = [64, 128, 256, 512, 512];
/// Where the package's slices of the network begin in torchvision's list.
const SLICES: [usize; 5] = [0, 4, 9, 16, 23];
/// Keeps pixels without any activation where they are.
const EPSILON: f64 = 1e-10;

/// Whose conventions are followed; networks and heads are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LpipsFlavor {
    /// richzhang's package `lpips`: images shifted and scaled by its own constants, max-pooling.
    #[default]
    Package,
    /// piq's: images taken to `[0, 1]`, then scaled by ImageNet's mean and deviation.
    Piq(Pooling),
}

impl LpipsFlavor {
    /// What is subtracted from an image in `[-1, 1]`, and what it is divided by, for each color.
    fn constants(self) -> [[f64; 3]; 2] {
        match self {
            Self::Package => [[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]],
            Self::Piq(_) => {
                let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
                [mean.map(|mean| 2.0 * mean - 1.0), std.map(|std| 2.0 * std)]
            }
        }
    }

    fn pooling(self) -> Pooling {
        match self {
            Self::Package => Pooling::Max,
            Self::Piq(pooling) => pooling,
        }
    }
}

/// LPIPS with VGG16: how different two images look.
///
/// ```text
/// d(a, b) = Σ_taps mean over pixels of  Σ_channels head · (â - b̂)²,   â = a / (‖a‖ over channels + 1e-10)
/// ```
///
/// Images are `[B, 3, H, W]` in `[-1, 1]`, at least 16 × 16.
///
/// # Gradient
/// Into both images; the weights are frozen.
///
/// # Source
/// Zhang et al. 2018, arXiv:1801.03924; packages `lpips` 0.1 (network `vgg`) and `piq`.
///
/// # Example
/// ```
/// use backbones::{Lpips, LpipsFlavor};
/// let lpips = Lpips::zeroed(LpipsFlavor::Package, tch::Device::Cpu);
/// let x = tch::Tensor::zeros([2, 3, 32, 32], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(lpips.distance(&x, &x).size(), [2]);
/// ```
#[derive(Debug)]
pub struct Lpips {
    shift: Tensor,
    scale: Tensor,
    network: Stages,
    heads: Vec<Tensor>,
    parameters: Parameters,
}

impl Lpips {
    /// The package's heads.
    pub const HEADS: WeightFile = WeightFile {
        name: "vgg.pth",
        url: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
        sha256: "a78928a0",
        license: "BSD-2-Clause",
    };

    /// The metric with the convolutions of [`Vgg16::TORCHVISION`](crate::Vgg16::TORCHVISION) and the heads of
    /// [`Lpips::HEADS`], or those of piq, which are the same in a list.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(vgg: &Path, heads: &Path, flavor: LpipsFlavor, device: Device) -> Result<Self> {
        let metric = Self::zeroed(flavor, device);
        let mut tensors = read(vgg, "", |name| {
            let (index, part) = name.strip_prefix("features.")?.split_once('.')?;
            Some(format!("{}.{part}", slice_name(index.parse().ok()?)))
        })?;
        tensors.extend(read(heads, "", |name| match name.parse::<usize>() {
            Ok(number) => Some(format!("lin{number}.model.1.weight")),
            Err(_) => Some(name.to_owned()),
        })?);
        for constant in ["scaling_layer.shift", "scaling_layer.scale"] {
            let value = metric.parameters.get(constant).map(Tensor::copy);
            tensors.extend(value.map(|value| (constant.to_owned(), value)));
        }
        let path = heads.into();
        metric.parameters.load(tensors).map_err(|source| Error::Mismatch { path, source })?;
        Ok(metric)
    }

    /// The metric with weights of zero. Names are those of the package's state dict.
    pub fn zeroed(flavor: LpipsFlavor, device: Device) -> Self {
        let mut tensors = Tensors::new(device);
        let [shift, scale] = flavor
            .constants()
            .map(|values| Tensor::from_slice(&values).to_kind(Kind::Float).view([1, 3, 1, 1]));
        let shift = tensors.constant("scaling_layer.shift", shift);
        let scale = tensors.constant("scaling_layer.scale", scale);
        let name = |index| slice_name(index);
        let network = Stages::new(&mut tensors, Vgg16Variant::Plain, flavor.pooling(), name);
        let head = |(tap, channels): (usize, i64)| {
            tensors.add(&format!("lin{tap}.model.1.weight"), &[1, channels, 1, 1])
        };
        let heads = CHANNELS.into_iter().enumerate().map(head).collect();
        Self { shift, scale, network, heads, parameters: tensors.finish() }
    }

    /// The named tensors.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The distance of each pair, `[B]`.
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Tensor {
        self.taps(a, b)
            .iter()
            .map(mean_over_pixels)
            .reduce(|sum, tap| sum + tap)
            .expect("five taps")
    }

    /// What each tap contributes to the distance, `[B, 5]`.
    pub fn contributions(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let taps: Vec<Tensor> = self.taps(a, b).iter().map(mean_over_pixels).collect();
        Tensor::stack(&taps, 1)
    }

    /// Where the images differ, `[B, 1, H, W]`: the map of each tap, resized bilinearly, summed.
    pub fn map(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let size = [a.size()[2], a.size()[3]];
        let resized = self.taps(a, b).map(|tap| tap.upsample_bilinear2d(size, false, None, None));
        resized.into_iter().reduce(|sum, tap| sum + tap).expect("five taps")
    }

    /// The five taps of the network, `relu1_2` to `relu5_3`, not normalized.
    pub fn features(&self, x: &Tensor) -> [Tensor; 5] {
        self.network.forward(&((x - &self.shift) / &self.scale))
    }

    /// The weighted squared differences at each tap, `[B, 1, H, W]` of its resolution.
    fn taps(&self, a: &Tensor, b: &Tensor) -> [Tensor; 5] {
        let [a, b] = [a, b].map(|x| self.features(x));
        let mut heads = self.heads.iter();
        let mut pairs = a.iter().zip(&b);
        [(); 5].map(|()| {
            let ((a, b), head) = pairs.next().zip(heads.next()).expect("five taps");
            (unit(a) - unit(b)).square().conv2d(head, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)
        })
    }
}

/// Features of length 1 at every pixel.
fn unit(x: &Tensor) -> Tensor {
    let length = x.square().sum_dim_intlist([1].as_slice(), true, x.kind()).sqrt();
    x / (length + EPSILON)
}

fn mean_over_pixels(map: &Tensor) -> Tensor {
    map.mean_dim([1, 2, 3].as_slice(), false, map.kind())
}

/// The package's name for the layer at an index of torchvision's list.
fn slice_name(index: usize) -> String {
    let slice = SLICES.iter().filter(|start| **start <= index).count();
    format!("net.slice{slice}.{index}")
}
