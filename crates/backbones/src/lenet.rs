//! `LeNet`: a classifier that is trained here.

use crate::blocks::{Conv, Geometry, Linear};
use crate::tensors::Tensors;
use crate::{Error, Result};
use diffusion_core::{Noise, Parameters};
use metrics::{ByteRule, Divisor, Recipe, Resize, Scaling};
use sha2::{Digest, Sha256};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What recipes call the network, before the checksum of its weights.
const NAME: &str = "lenet";
/// Height and width of the input.
const SIZE: i64 = 28;
/// Features of the last hidden layer.
const HIDDEN: i64 = 84;

/// A small convolutional classifier of grey images of 28 × 28 pixels, for MNIST and its like.
///
/// ```text
/// mean of the channels -> [ convolution 5x5 -> ReLU -> maximum of 2x2 ] to 6 x 14 x 14, to 16 x 5 x 5
/// -> 120 -> ReLU -> 84 -> ReLU: features -> classes: logits
/// ```
///
/// There are no published weights: the example `08_mnist_classifier` trains them from a seed. Distances between its features
/// are comparable only if the weights are the same, so their [checksum](LeNet::checksum) is part of every
/// [recipe](LeNet::recipe).
///
/// # Gradient
/// Into the images; into the weights unless they were read from a file.
///
/// # Source
/// `LeCun` et al. 1998, "Gradient-based learning applied to document recognition", the network `LeNet-5`, with `ReLU` and maxima
/// in place of sigmoids and means, and all connections.
///
/// # Example
/// ```
/// use backbones::LeNet;
/// use diffusion_core::Noise;
/// let mut noise = Noise::new(0);
/// let network = LeNet::new(10, &mut noise, tch::Device::Cpu);
/// let features = network.features(&noise.normal(&[2, 1, 28, 28]));
/// assert_eq!(features.size(), [2, 84]);
/// assert_eq!(network.logits(&features).size(), [2, 10]);
/// assert_eq!(network.parameters().count(), 61_706);
/// ```
#[derive(Debug)]
pub struct LeNet {
    convolutions: [Conv; 2],
    layers: [Linear; 3],
    classes: i64,
    parameters: Parameters,
}

/// Which output of a [`LeNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeNetOutput {
    /// The 84 numbers of the last hidden layer: for distances.
    Features,
    /// The scores of the classes before the softmax: for [`metrics::Classifier`].
    Logits,
}

impl LeNetOutput {
    const fn name(self) -> &'static str {
        match self {
            Self::Features => "last hidden layer",
            Self::Logits => "logits",
        }
    }
}

impl LeNet {
    /// A network to train: weights are normal with variance `2 / fan_in`, biases zero.
    ///
    /// # Panics
    /// If `classes` is not positive.
    pub fn new(classes: i64, noise: &mut Noise, device: Device) -> Self {
        assert!(classes > 0, "a classifier needs a class");
        let network = Self::zeroed(classes, device);
        let _guard = tch::no_grad_guard();
        for parameter in network.parameters.iter().filter(|p| p.name.ends_with("weight")) {
            let shape = parameter.tensor.size();
            let fan_in: i64 = shape[1..].iter().product();
            let init = noise.normal(&shape) * (2.0 / fan_in as f64).sqrt();
            parameter.tensor.shallow_clone().copy_(&init);
        }
        network
    }

    /// The network with the weights of a file, frozen; it has as many classes as the file says.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(path: &Path, device: Device) -> Result<Self> {
        let tensors = crate::weight_file::read(path, "", |name| Some(name.to_owned()))?;
        let bias = tensors.iter().find(|(name, _)| name == "fc3.bias");
        let classes = bias.map_or(1, |(_, bias)| bias.numel() as i64); // without it, loading fails
        let network = Self::zeroed(classes, device);
        let loaded = network.parameters.load(tensors);
        loaded.map_err(|source| Error::Mismatch { path: path.into(), source })?;
        network.parameters.set_requires_grad(false);
        Ok(network)
    }

    fn zeroed(classes: i64, device: Device) -> Self {
        let mut tensors = Tensors::trained(device);
        let t = &mut tensors;
        let convolutions = [
            Conv::new(t, "conv1", [1, 6], Geometry::same(5)),
            Conv::new(t, "conv2", [6, 16], Geometry::valid(5, 1)),
        ];
        let layers = [
            Linear::new(t, "fc1", [16 * 5 * 5, 120]),
            Linear::new(t, "fc2", [120, HIDDEN]),
            Linear::new(t, "fc3", [HIDDEN, classes]),
        ];
        Self { convolutions, layers, classes, parameters: tensors.finish() }
    }

    /// The named tensors.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> i64 {
        self.classes
    }

    /// The last hidden layer, activated, `[B, 84]`. `x`: `[B, C, 28, 28]` in `[-1, 1]`; channels are averaged.
    ///
    /// # Panics
    /// If `x` is not 28 × 28.
    pub fn features(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        assert!(size[2..] == [SIZE, SIZE], "`x` must be {SIZE} × {SIZE}, not {:?}", &size[2..]);
        let mut x = x.mean_dim(1, true, Kind::Float);
        for convolution in &self.convolutions {
            x = convolution.forward(&x).relu().max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
        }
        let [first, second, _] = &self.layers;
        second.forward(&first.forward(&x.flatten(1, -1)).relu()).relu()
    }

    /// The scores of the classes before the softmax, `[B, classes]`, from [`LeNet::features`].
    pub fn logits(&self, features: &Tensor) -> Tensor {
        self.layers[2].forward(features)
    }

    /// The beginning of the SHA-256 of all weights, 16 hexadecimal digits: of names, shapes and `f32` bits.
    pub fn checksum(&self) -> String {
        let mut hasher = Sha256::new();
        for parameter in &self.parameters {
            hasher.update(format!("{} {:?};", parameter.name, parameter.tensor.size()));
            let flat = parameter.tensor.detach().to_device(Device::Cpu).view([-1]);
            let values = Vec::<f32>::try_from(flat).expect("the weights are f32");
            values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
        }
        hasher.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How images become the input, and which weights are used: Pillow's bicubic to 28 × 28, which leaves images of that
    /// size as they are, then `2 u / 255 - 1`.
    ///
    /// It is the one for training, too: a network that is to judge images of 16 or 32 pixels is trained on such images.
    pub fn recipe(&self, output: LeNetOutput) -> Recipe {
        Recipe {
            name: "LeNet".into(),
            distance: [
                "Fréchet distance of a trained LeNet's features (not FID)".into(),
                "LeNet-FD".into(),
            ],
            bytes: ByteRule::Edm,
            resize: Some((Resize::PillowBicubic, SIZE)),
            scaling: Scaling::Symmetric,
            network: format!("{NAME} {}", self.checksum()).into(),
            output: output.name().into(),
            dim: match output {
                LeNetOutput::Features => HIDDEN,
                LeNetOutput::Logits => self.classes,
            },
            divisor: Divisor::Sample,
        }
    }

    /// The network and the output that a recipe names, from a file.
    ///
    /// `None` if it names another architecture.
    pub(crate) fn of_recipe(
        recipe: &Recipe,
        file: &Path,
        device: Device,
    ) -> Option<Result<(Self, LeNetOutput)>> {
        let expected = recipe.network.strip_prefix(NAME)?.strip_prefix(' ')?;
        let outputs = [LeNetOutput::Features, LeNetOutput::Logits];
        let output = outputs.into_iter().find(|output| output.name() == recipe.output)?;
        let network = match Self::open(file, device) {
            Ok(network) => network,
            Err(error) => return Some(Err(error)),
        };
        let found = network.checksum();
        Some(if found == expected {
            Ok((network, output))
        } else {
            Err(Error::OtherWeights { path: file.into(), expected: expected.into(), found })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn network() -> LeNet {
        LeNet::new(10, &mut Noise::new(1), Device::Cpu)
    }

    #[test]
    fn the_checksum_sees_the_last_bit_of_a_weight_and_survives_a_file() {
        let network = network();
        let checksum = network.checksum();
        assert_eq!((checksum.len(), &checksum), (16, &self::network().checksum()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lenet.safetensors");
        network.parameters().save(&path, &BTreeMap::new()).unwrap();
        let read = LeNet::open(&path, Device::Cpu).unwrap();
        assert_eq!((read.checksum(), read.classes()), (checksum.clone(), 10));
        assert!(read.parameters().iter().all(|parameter| !parameter.tensor.requires_grad()));

        let weight = network.parameters().get("fc1.bias").unwrap().shallow_clone();
        let _ = tch::no_grad(|| weight.get(7).fill_(f64::from(f32::from_bits(1))));
        assert_ne!(network.checksum(), checksum);
    }

    #[test]
    fn color_images_are_averaged_and_gradients_reach_image_and_weights() {
        let network = network();
        let grey = Noise::new(2).normal(&[3, 1, 28, 28]);
        let color = grey.expand([-1, 3, -1, -1], false);
        let difference = network.features(&grey) - network.features(&color);
        assert!(difference.abs().max().double_value(&[]) < 1e-5);
        let grey = grey.set_requires_grad(true);
        network.logits(&network.features(&grey)).square().sum(Kind::Float).backward();
        let moved = |tensor: &Tensor| tensor.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0;
        assert!(moved(&grey) && network.parameters().iter().all(|p| moved(&p.tensor)));
    }

    #[test]
    fn the_first_activations_keep_their_mean_square() {
        let x = Noise::new(4).normal(&[64, 1, 28, 28]);
        let y = network().convolutions[0].forward(&x).narrow(2, 4, 20).narrow(3, 4, 20);
        let gain = y.square().mean(Kind::Float).double_value(&[]);
        assert!((gain - 2.0).abs() < 0.5, "{gain}"); // the ReLU after it halves that
    }

    #[test]
    fn a_file_of_another_network_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.safetensors");
        let mut other = Parameters::new(Device::Cpu);
        let _ = other.buffer("weight", Tensor::from(1f32));
        other.save(&path, &BTreeMap::new()).unwrap();
        let error = LeNet::open(&path, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("other.safetensors") && error.contains("conv1.weight"), "{error}");
    }

    #[test]
    #[should_panic(expected = "must be 28 × 28, not [32, 32]")]
    fn other_sizes_are_resized_by_the_recipe_not_here() {
        let _ = network().features(&Tensor::zeros([1, 1, 32, 32], (Kind::Float, Device::Cpu)));
    }
}
