//! Convolutions.

use crate::tensors::Tensors;
use tch::Tensor;

/// Size, stride and padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) kernel: [i64; 2],
    pub(crate) stride: i64,
    pub(crate) padding: [i64; 2],
    pub(crate) groups: i64,
}

impl Geometry {
    /// A square kernel of odd size, stride 1, that keeps the resolution.
    pub(crate) const fn same(size: i64) -> Self {
        Self::rectangle(size, size)
    }

    /// A kernel of odd height and width, stride 1, that keeps the resolution.
    pub(crate) const fn rectangle(height: i64, width: i64) -> Self {
        let padding = [height / 2, width / 2];
        Self { kernel: [height, width], stride: 1, padding, groups: 1 }
    }

    /// A square kernel without padding.
    pub(crate) const fn valid(size: i64, stride: i64) -> Self {
        Self { kernel: [size; 2], stride, padding: [0; 2], groups: 1 }
    }
}

/// A convolution, with or without bias.
#[derive(Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    geometry: Geometry,
}

impl Conv {
    /// `channels`: `[in, out]`.
    pub(crate) fn new(
        tensors: &mut Tensors,
        name: &str,
        channels: [i64; 2],
        geometry: Geometry,
    ) -> Self {
        let mut conv = Self::without_bias(tensors, name, channels, geometry);
        conv.bias = Some(tensors.add(&format!("{name}.bias"), &channels[1..]));
        conv
    }

    /// The same without bias.
    pub(crate) fn without_bias(
        tensors: &mut Tensors,
        name: &str,
        [from, to]: [i64; 2],
        geometry: Geometry,
    ) -> Self {
        let [height, width] = geometry.kernel;
        let shape = [to, from / geometry.groups, height, width];
        Self { weight: tensors.add(&format!("{name}.weight"), &shape), bias: None, geometry }
    }

    /// `[B, in, H, W]` to `[B, out, H', W']`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.convolve(x, &self.weight, self.bias.as_ref())
    }

    /// Every output channel multiplied by its entry of `scale`, and one of `shift` added: `[out]` each.
    pub(crate) fn scaled(&self, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Tensor {
        let bias =
            self.bias.as_ref().map_or_else(|| shift.shallow_clone(), |bias| bias * scale + shift);
        self.convolve(x, &(&self.weight * scale.view([-1, 1, 1, 1])), Some(&bias))
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let Geometry { stride, padding, groups, .. } = self.geometry;
        x.conv2d(weight, bias, [stride; 2], padding, [1, 1], groups)
    }
}
