//! The layer that everything is made of.

use crate::blocks::{ConvNorm, Geometry};
use crate::tensors::Tensors;
use tch::Tensor;

/// A convolution without bias, batch normalization and `ReLU`.
#[derive(Debug)]
pub(super) struct Layer(ConvNorm);

impl Layer {
    /// The layers `conv` and `bn` of `name`.
    pub(super) fn new(
        tensors: &mut Tensors,
        name: &str,
        channels: [i64; 2],
        geometry: Geometry,
    ) -> Self {
        let [conv, norm] = ["conv", "bn"].map(|part| format!("{name}.{part}"));
        Self(ConvNorm::new(tensors, [&conv, &norm], channels, geometry, 1e-3))
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(x).relu_()
    }
}

/// Layers, one behind the other.
pub(super) fn chain(layers: &[Layer], x: &Tensor) -> Tensor {
    layers.iter().fold(x.shallow_clone(), |h, layer| layer.forward(&h))
}
