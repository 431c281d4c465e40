//! A network's tensors while it is built.

use diffusion_core::Parameters;
use tch::{Device, Kind, Tensor};

/// Registers a network's tensors, frozen unless said otherwise, under their published names. They are zero until they are loaded.
pub(crate) struct Tensors {
    parameters: Parameters,
    trained: bool,
}

impl Tensors {
    pub(crate) fn new(device: Device) -> Self {
        Self { parameters: Parameters::new(device), trained: false }
    }

    /// The same for a network that is trained here.
    pub(crate) fn trained(device: Device) -> Self {
        Self { trained: true, ..Self::new(device) }
    }

    /// A tensor of zeros.
    pub(crate) fn add(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let zeros = Tensor::zeros(shape, (Kind::Float, self.parameters.device()));
        match self.trained {
            true => self.parameters.trainable(name, zeros),
            false => self.parameters.buffer(name, zeros),
        }
    }

    /// A tensor that keeps its value unless the file has another.
    pub(crate) fn constant(&mut self, name: &str, value: Tensor) -> Tensor {
        self.parameters.buffer(name, value)
    }

    pub(crate) fn finish(self) -> Parameters {
        self.parameters
    }
}
