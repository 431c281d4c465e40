//! The Fréchet distance between features of images, as a metric.

use crate::{
    Direction, Divisor, Error, FeatureExtractor, FeatureNetwork, FrechetReference, GaussianStats,
    ImageShape, Metric, MetricInfo, RecipeFeatures, ReferenceStats, Result,
};
use tch::Tensor;

/// The Fréchet distance between the features of images and those of a reference.
///
/// Which distance it is (FID, for one) depends on the extractor alone; name and recipe come from there.
///
/// # Example
/// See [`FeatureExtractor`].
#[derive(Debug)]
pub struct FeatureFrechet<E> {
    extractor: E,
    reference: Reference,
    stats: GaussianStats,
    shape: Option<ImageShape>,
}

#[derive(Debug)]
struct Reference {
    gaussian: FrechetReference,
    shape: Option<ImageShape>,
    origin: String,
}

impl<E: FeatureExtractor> FeatureFrechet<E> {
    /// Compares with real images, `[N, C, H, W]` in `[-1, 1]`, whose features are computed `batch` images at a time.
    ///
    /// # Errors
    /// - [`Error::NotPositive`] for `batch < 1`, [`Error::TooFew`] for fewer than two images;
    /// - what the extractor reports.
    pub fn from_images(extractor: E, images: &Tensor, batch: i64) -> Result<Self> {
        let shape = ImageShape::of(images)?;
        if batch < 1 {
            return Err(Error::NotPositive { what: "batch", value: batch });
        }
        let mut chunks = images.split(batch, 0).into_iter();
        let first = chunks.next().expect("a batch of images is not empty");
        let mut stats = GaussianStats::of(&extractor.features(&first)?)?;
        for chunk in chunks {
            stats.update(&extractor.features(&chunk)?)?;
        }
        let origin = format!("{} reference images {shape}", stats.count());
        let reference = Reference {
            gaussian: FrechetReference::new(
                &stats.mean()?,
                &stats.covariance_by(extractor.divisor())?,
            )?,
            shape: Some(shape),
            origin,
        };
        Ok(Self::new(extractor, reference))
    }

    /// Compares with stored moments of real features, `[D]` and `[D, D]`; `origin` says in the recipe where they
    /// come from.
    ///
    /// # Errors
    /// Those of [`FrechetReference::new`].
    pub fn from_moments(
        extractor: E,
        mean: &Tensor,
        covariance: &Tensor,
        origin: &str,
    ) -> Result<Self> {
        let gaussian = FrechetReference::new(mean, covariance)?;
        let reference = Reference { gaussian, shape: None, origin: origin.into() };
        Ok(Self::new(extractor, reference))
    }

    fn new(extractor: E, reference: Reference) -> Self {
        let stats = GaussianStats::new(reference.gaussian.dim());
        Self { extractor, shape: reference.shape, reference, stats }
    }

    /// The statistics of the images taken in.
    pub fn stats(&self) -> &GaussianStats {
        &self.stats
    }
}

impl<E: FeatureExtractor> Metric for FeatureFrechet<E> {
    fn update(&mut self, images: &Tensor) -> Result<()> {
        let found = ImageShape::of(images)?;
        self.shape.unwrap_or(found).require_same(found)?;
        self.stats.update(&self.extractor.features(images)?)?;
        self.shape = Some(found);
        Ok(())
    }

    fn value(&self) -> Result<f64> {
        let covariance = self.stats.covariance_by(self.extractor.divisor())?;
        self.reference.gaussian.distance(&self.stats.mean()?, &covariance)
    }

    fn reset(&mut self) {
        self.stats = GaussianStats::new(self.stats.dim());
        self.shape = self.reference.shape;
    }

    fn info(&self) -> MetricInfo {
        let (names, recipe) = (self.extractor.frechet_name(), self.extractor.recipe());
        let (dim, divisor) = (self.stats.dim(), self.extractor.divisor());
        frechet_info(names, &recipe, dim, divisor, &self.reference.origin)
    }
}

/// What a Fréchet distance of features by `recipe` is, with its full name and column label.
pub(crate) fn frechet_info(
    [name, label]: [String; 2],
    recipe: &str,
    dim: i64,
    divisor: Divisor,
    origin: &str,
) -> MetricInfo {
    MetricInfo {
        name,
        label,
        unit: "squared feature value".into(),
        direction: Direction::LowerIsBetter,
        recipe: format!(
            "{recipe}; {dim} dimensions; f64 covariances with divisor {divisor}, symmetric eigenvalues; {origin}"
        ),
    }
}

impl<N: FeatureNetwork> FeatureFrechet<RecipeFeatures<N>> {
    /// Compares with stored statistics, which must have been made by the same recipe.
    ///
    /// # Errors
    /// [`Error::OtherRecipe`] if they were not; those of [`FrechetReference::new`].
    pub fn from_reference(extractor: RecipeFeatures<N>, stats: &ReferenceStats) -> Result<Self> {
        let gaussian = stats.for_recipe(extractor.recipe())?;
        let reference = Reference { gaussian, shape: None, origin: stats.origin.clone() };
        Ok(Self::new(extractor, reference))
    }

    /// Takes in images that are bytes already: `[B, C, H, W]`, all of one size.
    ///
    /// # Errors
    /// Those of [`RecipeFeatures::features_of_bytes`], and [`Error::MixedShapes`].
    pub fn update_bytes(&mut self, bytes: &Tensor) -> Result<()> {
        let found = ImageShape::of_bytes(bytes)?;
        self.shape.unwrap_or(found).require_same(found)?;
        self.stats.update(&self.extractor.features_of_bytes(bytes)?)?;
        self.shape = Some(found);
        Ok(())
    }
}
