//! What turns images into feature vectors.

use crate::{Divisor, Result};
use tch::Tensor;

/// A frozen network that turns images into feature vectors.
///
/// The extractor owns the whole preprocessing (quantization, resizing, normalization), because a published distance
/// is a property of all of it: its recipe is part of every value computed with it.
///
/// # Example
/// The mean color as a feature:
/// ```
/// use metrics::{FeatureExtractor, FeatureFrechet, ImageShape, Metric, Result};
/// use tch::{Kind, Tensor};
///
/// struct MeanColor;
/// impl FeatureExtractor for MeanColor {
///     fn features(&self, images: &Tensor) -> Result<Tensor> {
///         ImageShape::of(images)?;
///         Ok(images.mean_dim(&[2i64, 3][..], false, Kind::Float))
///     }
///     fn frechet_name(&self) -> [String; 2] {
///         ["mean-color Fréchet distance".into(), "color-FD".into()]
///     }
///     fn recipe(&self) -> String {
///         "mean of each channel".into()
///     }
/// }
/// let real = diffusion_core::Noise::new(0).normal(&[50, 3, 8, 8]);
/// let mut metric = FeatureFrechet::from_images(MeanColor, &real, 16)?;
/// metric.update(&(real + 0.5))?;
/// assert!((metric.value()? - 3.0 * 0.25).abs() < 1e-4); // three channels, shifted by one half
/// # Ok::<(), metrics::Error>(())
/// ```
pub trait FeatureExtractor {
    /// Features `[B, D]` of images `[B, C, H, W]` in `[-1, 1]`; row `i` depends on image `i` alone.
    ///
    /// # Gradient
    /// None.
    ///
    /// # Errors
    /// If the images are not usable by this network.
    fn features(&self, images: &Tensor) -> Result<Tensor>;

    /// Full name and column label of the Fréchet distance between these features.
    fn frechet_name(&self) -> [String; 2];

    /// Everything that decides the features: preprocessing, network, weights.
    fn recipe(&self) -> String;

    /// The divisor of covariances of these features.
    fn divisor(&self) -> Divisor {
        Divisor::Sample
    }
}

impl<E: FeatureExtractor + ?Sized> FeatureExtractor for &E {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        (**self).features(images)
    }

    fn frechet_name(&self) -> [String; 2] {
        (**self).frechet_name()
    }

    fn recipe(&self) -> String {
        (**self).recipe()
    }

    fn divisor(&self) -> Divisor {
        (**self).divisor()
    }
}

impl<E: FeatureExtractor + ?Sized> FeatureExtractor for Box<E> {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        (**self).features(images)
    }

    fn frechet_name(&self) -> [String; 2] {
        (**self).frechet_name()
    }

    fn recipe(&self) -> String {
        (**self).recipe()
    }

    fn divisor(&self) -> Divisor {
        (**self).divisor()
    }
}
