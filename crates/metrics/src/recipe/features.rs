//! A network wrapped with the recipe it is fed by.

use super::Recipe;
use crate::{Divisor, Error, FeatureExtractor, ImageShape, Result};
use tch::{Device, Tensor};

/// Images that the network sees at a time on a CPU: more of them take more memory, and no less time.
const AT_ONCE_ON_CPU: i64 = 4;

/// A frozen network, from its input to feature vectors.
///
/// Functions and closures are networks.
pub trait FeatureNetwork {
    /// The features `[B, D]` of inputs `[B, 3, H, W]`, which a [`Recipe`] prepared.
    ///
    /// # Errors
    /// Whatever the network fails with; errors of other crates are [`Error::Network`].
    fn forward(&self, pixels: &Tensor) -> Result<Tensor>;
}

impl<F: Fn(&Tensor) -> Result<Tensor>> FeatureNetwork for F {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self(pixels)
    }
}

/// The features of images by a [`Recipe`]: bytes, resizing and scaling, then a network.
///
/// The network must be the one that the recipe names: nothing but the number of its features can be checked.
///
/// # Example
/// A stand-in that needs no weights:
/// ```
/// use metrics::{FeatureFrechet, Metric, Recipe, RecipeFeatures, Resize};
/// use tch::{Kind, Tensor};
///
/// let recipe = Recipe { resize: Some((Resize::TorchBilinear, 4)), dim: 3, ..Recipe::EDM_FID };
/// let mean = |pixels: &Tensor| Ok(pixels.mean_dim(&[2i64, 3][..], false, Kind::Float));
/// let real = diffusion_core::Noise::new(0).uniform(&[50, 3, 8, 8]) - 0.5;
/// let mut metric = FeatureFrechet::from_images(RecipeFeatures::new(recipe, mean), &real, 16)?;
/// metric.update(&(real + 0.25))?;
/// assert!((metric.value()? - 3.0 * 0.25 * 0.25).abs() < 1e-2);
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RecipeFeatures<N> {
    recipe: Recipe,
    network: N,
    device: Option<Device>,
}

impl<N: FeatureNetwork> RecipeFeatures<N> {
    /// The features of `network` by `recipe`.
    pub fn new(recipe: Recipe, network: N) -> Self {
        Self { recipe, network, device: None }
    }

    /// The same with images prepared on `device`, that of the network, instead of where they are: bytes are much smaller than
    /// what the network sees, and a GPU resizes faster.
    #[must_use]
    pub fn on(self, device: Device) -> Self {
        Self { device: Some(device), ..self }
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Features `[B, D]` of images of bytes, `[B, C, H, W]` with one or three channels, on the device of the network.
    ///
    /// # Gradient
    /// None.
    ///
    /// # Errors
    /// - Those of [`Recipe::prepare`] for unusable images, those of the network;
    /// - [`Error::Dimension`] if the features do not have the length that the recipe states.
    pub fn features_of_bytes(&self, bytes: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        ImageShape::of_bytes(bytes)?;
        let bytes = bytes.to_device(self.device.unwrap_or_else(|| bytes.device()));
        let at_once =
            if bytes.device().is_cuda() { bytes.size()[0].max(1) } else { AT_ONCE_ON_CPU };
        let parts = bytes.split(at_once, 0);
        let parts = parts.iter().map(|part| self.features_of_part(part));
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0))
    }

    fn features_of_part(&self, bytes: &Tensor) -> Result<Tensor> {
        let features = self.network.forward(&self.recipe.prepare(bytes)?)?;
        match features.size()[..] {
            [rows, dim] if rows == bytes.size()[0] && dim == self.recipe.dim => Ok(features),
            [rows, found] if rows == bytes.size()[0] => {
                Err(Error::Dimension { expected: self.recipe.dim, found })
            }
            _ => Err(Error::NotFeatures { shape: features.size(), kind: features.kind() }),
        }
    }
}

impl<N: FeatureNetwork> FeatureExtractor for RecipeFeatures<N> {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        ImageShape::of(images)?;
        self.features_of_bytes(&self.recipe.bytes.encode(images))
    }

    fn frechet_name(&self) -> [String; 2] {
        self.recipe.distance.clone().map(String::from)
    }

    fn recipe(&self) -> String {
        self.recipe.to_string()
    }

    fn divisor(&self) -> Divisor {
        self.recipe.divisor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteRule, ByteScale};
    use diffusion_core::Noise;
    use tch::Kind;

    fn mean(pixels: &Tensor) -> Result<Tensor> {
        Ok(pixels.mean_dim(&[2i64, 3][..], false, Kind::Float))
    }

    fn recipe() -> Recipe {
        Recipe { resize: None, dim: 3, bytes: ByteRule::ConsistencyModels, ..Recipe::EDM_FID }
    }

    #[test]
    fn values_are_rounded_by_the_recipe_and_bytes_are_left_alone() {
        let features = RecipeFeatures::new(recipe(), mean);
        let images = Noise::new(1).uniform(&[4, 3, 6, 6]) * 2.2 - 1.1;
        let bytes = ByteRule::ConsistencyModels.encode(&images);
        let expected = mean(&ByteScale::Inception.decode(&bytes)).unwrap();
        assert_eq!(features.features(&images).unwrap(), expected);
        assert_eq!(features.features_of_bytes(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_network_that_is_not_the_recipe_s_is_refused() {
        let images = Noise::new(1).uniform(&[4, 3, 6, 6]);
        let other = RecipeFeatures::new(Recipe { dim: 2048, ..recipe() }, mean);
        let error = other.features(&images).unwrap_err();
        assert!(matches!(error, Error::Dimension { expected: 2048, found: 3 }));
        let maps = RecipeFeatures::new(recipe(), |pixels: &Tensor| Ok(pixels.shallow_clone()));
        assert!(matches!(maps.features(&images), Err(Error::NotFeatures { .. })));
        let broken =
            RecipeFeatures::new(recipe(), |_: &Tensor| Err(Error::Network("no file".into())));
        assert_eq!(
            broken.features(&images).unwrap_err().to_string(),
            "the feature network: no file"
        );
    }

    #[test]
    fn unusable_images_are_refused() {
        let features = RecipeFeatures::new(recipe(), mean);
        let images = Noise::new(1).uniform(&[4, 3, 6, 6]);
        let nan = features.features(&(&images * f64::NAN));
        assert!(matches!(nan, Err(Error::NonFiniteImages { count: 4, first: 0 })));
        let two = features.features(&images.narrow(1, 0, 2));
        assert!(matches!(two, Err(Error::Channels { found: 2 })));
    }
}
