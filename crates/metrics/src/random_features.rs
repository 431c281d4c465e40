//! A seeded random convolutional feature network, and the Fréchet distance in its features.

use crate::{ByteRule, ByteScale, Error, FeatureExtractor, FeatureFrechet, ImageShape, Result};
use diffusion_core::Noise;
use tch::{Device, Kind, Tensor};

/// The seed of the weights: part of the definition.
const SEED: u64 = 0x7261_6e64_6f6d;
/// Output channels of the three stages.
const WIDTHS: [i64; 3] = [16, 32, 64];
/// Three halvings leave at least one pixel.
const LEAST_SIZE: i64 = 8;
/// Slope of the activation below zero.
const SLOPE: f64 = 0.2;

/// The Fréchet distance between [`RandomConvFeatures`].
///
/// **This is not FID**: the features were never trained, and values can be compared only with each other. It tells
/// whether colors, contrasts and textures of two sets of images agree, costs little and needs no download.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use metrics::{Metric, RandomConvFeatures, RandomFeatureFrechet};
/// let mut noise = Noise::new(1);
/// let real = noise.uniform(&[64, 3, 16, 16]) - 0.5;
/// let net = RandomConvFeatures::new(tch::Device::Cpu);
/// let mut metric = RandomFeatureFrechet::from_images(net, &real, 32)?;
/// metric.update(&real)?;
/// let same = metric.value()?;
/// metric.reset();
/// metric.update(&(real * 0.5))?;
/// assert!(same < 1e-6 && metric.value()? > 0.1);
/// # Ok::<(), metrics::Error>(())
/// ```
pub type RandomFeatureFrechet = FeatureFrechet<RandomConvFeatures>;

/// A fixed random convolutional network: 224 features of an image of any size from 8×8 on.
///
/// ```text
/// image -> bytes (ByteRule::Edm) -> (u - 128) / 128 -> grey repeated to RGB
/// 3 x [ convolution 3x3, stride 2, zero padding 1, no bias -> leaky ReLU, slope 0.2 ], widths 16, 32, 64
/// features = mean and standard deviation (divisor H·W) of every channel after every stage
/// ```
///
/// Weights are normal with variance `2 / ((1 + 0.2²) · fan_in)`, which keeps the mean square of the activations at
/// that of the input; they come from a fixed seed, so that the network is the same on every machine.
#[derive(Debug)]
pub struct RandomConvFeatures {
    weights: Vec<Tensor>,
    device: Device,
}

impl RandomConvFeatures {
    /// The network, on `device`.
    pub fn new(device: Device) -> Self {
        let mut noise = Noise::new(SEED).stream("random-conv-features v1").on(device);
        let inputs = std::iter::once(3).chain(WIDTHS);
        let weights = inputs.zip(WIDTHS).map(|(from, to)| {
            let gain = (2.0 / (1.0 + SLOPE * SLOPE) / (9 * from) as f64).sqrt();
            noise.normal(&[to, from, 3, 3]) * gain
        });
        Self { weights: weights.collect(), device }
    }

    fn stage(x: &Tensor, weight: &Tensor) -> Tensor {
        let x = x.conv2d(weight, None::<Tensor>, [2, 2], [1, 1], [1, 1], 1);
        x.maximum(&(&x * SLOPE))
    }
}

impl FeatureExtractor for RandomConvFeatures {
    /// # Errors
    /// As [`ImageShape::of`]; [`Error::Channels`] unless there are 1 or 3; [`Error::TooSmall`] below 8×8.
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let found = ImageShape::of(images)?;
        if ![1, 3].contains(&found.channels) {
            return Err(Error::Channels { found: found.channels });
        }
        if found.height.min(found.width) < LEAST_SIZE {
            return Err(Error::TooSmall { found, least: LEAST_SIZE });
        }
        let _no_grad = tch::no_grad_guard();
        let bytes = ByteRule::Edm.encode(&images.to_device(self.device));
        let mut x = ByteScale::Inception.decode(&bytes).expand([-1, 3, -1, -1], false);
        let mut features = Vec::with_capacity(2 * self.weights.len());
        for weight in &self.weights {
            x = Self::stage(&x, weight);
            let pixels = x.flatten(2, 3);
            features.push(pixels.mean_dim(2, false, Kind::Float));
            features.push(pixels.std_dim(2, false, false));
        }
        Ok(Tensor::cat(&features, 1))
    }

    fn frechet_name(&self) -> [String; 2] {
        ["random-feature Fréchet distance (not FID)".into(), "random-FD".into()]
    }

    fn recipe(&self) -> String {
        format!(
            "random-conv-features v1 (seed {SEED:#x}, untrained 3-stage network, channel means and standard \
             deviations) of images rounded to bytes by 127.5 x + 128"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;

    fn features(images: &Tensor) -> Tensor {
        RandomConvFeatures::new(Device::Cpu).features(images).unwrap()
    }

    #[test]
    fn the_network_is_the_same_everywhere() {
        // A ramp over rows and columns of an 8x8 image: any change of seed, scaling or layout moves these values.
        let ramp = Tensor::arange(64, (Kind::Float, Device::Cpu)).view([1, 1, 8, 8]) / 32.0 - 1.0;
        let features = features(&ramp);
        assert_eq!(features.size(), [1, 224]);
        let found = [0, 16, 32, 64, 96].map(|i| features.double_value(&[0, i]));
        for (found, stable) in found.into_iter().zip(STABLE) {
            assert!((found - stable).abs() < 1e-5, "{found} instead of {stable}");
        }
    }

    const STABLE: [f64; 5] =
        [0.293_764_05, 0.570_507_29, 0.318_222_17, 0.205_141_45, -0.022_779_46];

    #[test]
    fn activations_keep_the_scale_of_the_input() {
        let images = Noise::new(2).normal(&[16, 3, 64, 64]) * 0.3;
        let features = features(&images).square().mean_dim(0, false, Kind::Float);
        // Mean² + standard deviation² is the mean square of a channel; the padding costs a little.
        for (start, width) in [(0, 16), (32, 32), (96, 64)] {
            let mean_square = (features.narrow(0, start, width)
                + features.narrow(0, start + width, width))
            .mean(Kind::Float)
            .double_value(&[]);
            assert!((0.045..0.135).contains(&mean_square), "{mean_square} instead of about 0.09");
        }
    }

    #[test]
    fn rows_do_not_depend_on_their_batch_and_grey_is_rgb() {
        let grey = Noise::new(3).uniform(&[5, 1, 9, 12]) - 0.5;
        let all = features(&grey);
        let one = features(&grey.narrow(0, 3, 1));
        assert!((all.narrow(0, 3, 1) - one).abs().max().double_value(&[]) < 1e-6);
        assert_eq!(features(&grey.repeat([1, 3, 1, 1])), all);
    }

    #[test]
    fn values_between_two_bytes_do_not_count() {
        let bytes = Tensor::arange(192, (Kind::Uint8, Device::Cpu)).view([1, 3, 8, 8]);
        let images = ByteScale::Edm.decode(&bytes);
        assert_eq!(features(&(&images + 0.003)), features(&images));
    }

    #[test]
    fn unusable_images_are_named() {
        let net = RandomConvFeatures::new(Device::Cpu);
        let error = |shape: &[i64]| net.features(&Noise::new(0).normal(shape)).unwrap_err();
        assert!(matches!(error(&[2, 4, 8, 8]), Error::Channels { found: 4 }));
        assert!(matches!(error(&[2, 3, 8, 7]), Error::TooSmall { least: 8, .. }));
        assert!(matches!(error(&[3, 8, 8]), Error::NotImages { .. }));
    }

    #[test]
    fn the_metric_cannot_be_mistaken_for_fid() {
        let real = Noise::new(4).uniform(&[12, 3, 8, 8]) - 0.5;
        let net = RandomConvFeatures::new(Device::Cpu);
        let info = RandomFeatureFrechet::from_images(net, &real, 5).unwrap().info();
        assert_eq!(info.name, "random-feature Fréchet distance (not FID)");
        assert!(
            info.recipe.contains("untrained") && info.recipe.contains("12 reference images 3x8x8")
        );
    }
}
