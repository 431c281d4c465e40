//! The features of a set of images, and every number they give.

use crate::{
    Error, FeatureExtractor, FeatureNetwork, ImageShape, InceptionScore, Measurement, MetricInfo,
    RecipeFeatures, Result, ScoreSplits, SetStatistic,
};
use tch::{Device, Kind, Tensor};

/// Images a [`FeatureSet`] takes unless told otherwise.
const DEFAULT_MAX_IMAGES: i64 = 65_536;

/// The features of a set of images, kept in `f32`: the network runs once, whatever is computed from them.
///
/// For a Fréchet distance alone, [`FeatureFrechet`](crate::FeatureFrechet) does without keeping them.
///
/// # Example
/// ```
/// use metrics::{FeatureSet, RandomConvFeatures, SetStatistic};
/// let net = RandomConvFeatures::new(tch::Device::Cpu);
/// let (mut real, mut fake) = (FeatureSet::new(&net), FeatureSet::new(&net));
/// let images = diffusion_core::Noise::new(0).uniform(&[60, 3, 8, 8]) - 0.5;
/// real.update(&images)?;
/// fake.update(&(images * 0.5 + 0.3))?; // brighter, with less contrast
/// for statistic in [SetStatistic::Frechet, SetStatistic::Coverage { k: 3 }] {
///     let found = fake.compare(&real, statistic)?;
///     println!("{} {:.3}: {}", found.info.label, found.value, found.info.recipe);
///     assert!(real.compare(&real, statistic)?.value != found.value);
/// }
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug)]
pub struct FeatureSet<E> {
    extractor: E,
    shape: Option<ImageShape>,
    batches: Vec<Tensor>,
    n: i64,
    max_images: i64,
}

impl<E: FeatureExtractor> FeatureSet<E> {
    /// No images yet.
    pub fn new(extractor: E) -> Self {
        let max_images = DEFAULT_MAX_IMAGES;
        Self { extractor, shape: None, batches: Vec::new(), n: 0, max_images }
    }

    /// The same set for up to `max_images` images (65,536 unless changed): more are an error.
    #[must_use]
    pub fn with_max_images(self, max_images: i64) -> Self {
        Self { max_images, ..self }
    }

    /// Takes in more images: `[B, C, H, W]`, floating point, in `[-1, 1]`, all of one size.
    ///
    /// # Errors
    /// - [`Error::TooMany`] beyond the limit, [`Error::MixedShapes`] for images of another size;
    /// - [`Error::NonFiniteFeatures`], and what the extractor reports. The set is then as it was.
    pub fn update(&mut self, images: &Tensor) -> Result<()> {
        let found = ImageShape::of(images)?;
        self.admit(found, images.size()[0])?;
        let features = self.extractor.features(images)?;
        self.keep(found, features)
    }

    /// What makes the features.
    pub fn extractor(&self) -> &E {
        &self.extractor
    }

    /// Number of images taken in.
    pub fn count(&self) -> i64 {
        self.n
    }

    /// The features in the order of the images, `[N, D]`, `f32`, on the CPU.
    ///
    /// # Errors
    /// [`Error::TooFew`] without any image.
    pub fn features(&self) -> Result<Tensor> {
        match self.batches[..] {
            [] => Err(Error::TooFew { found: 0, needed: 1 }),
            _ => Ok(Tensor::cat(&self.batches, 0)),
        }
    }

    /// A number that compares this set with `real` images.
    ///
    /// # Errors
    /// [`Error::OtherFeatures`] if the sets have different recipes, [`Error::MixedShapes`] if their images have different
    /// sizes; those of [`SetStatistic::of`].
    pub fn compare<R: FeatureExtractor>(
        &self,
        real: &FeatureSet<R>,
        statistic: SetStatistic,
    ) -> Result<Measurement> {
        let (expected, found) = (real.extractor.recipe(), self.extractor.recipe());
        if expected != found {
            return Err(Error::OtherFeatures { expected, found });
        }
        if let (Some(expected), Some(found)) = (real.shape, self.shape) {
            expected.require_same(found)?;
        }
        let divisor = self.extractor.divisor();
        let value = statistic.of(&real.features()?, &self.features()?, divisor)?;
        let [name, label] = match statistic {
            SetStatistic::Frechet => self.extractor.frechet_name(),
            _ => statistic.name().map(String::from),
        };
        let estimator = statistic.recipe(divisor);
        let info = MetricInfo {
            name,
            label,
            unit: statistic.unit().into(),
            direction: statistic.direction(),
            recipe: format!("{found}; {estimator}; {} against {} images", self.n, real.n),
        };
        Ok(Measurement { info, value })
    }

    /// The mean Inception Score of the splits, if the features are a classifier's outputs before the softmax.
    ///
    /// # Errors
    /// Those of [`InceptionScore::of_logits`].
    pub fn inception_score(&self, splits: ScoreSplits) -> Result<Measurement> {
        let value = InceptionScore::of_logits(&self.features()?, splits)?.mean;
        Ok(Measurement { info: splits.info(&self.extractor.recipe(), self.n), value })
    }

    fn admit(&self, shape: ImageShape, count: i64) -> Result<()> {
        self.shape.unwrap_or(shape).require_same(shape)?;
        let found = self.n + count;
        if found > self.max_images {
            return Err(Error::TooMany { found, limit: self.max_images });
        }
        Ok(())
    }

    fn keep(&mut self, shape: ImageShape, features: Tensor) -> Result<()> {
        let features = features.detach().to_device(Device::Cpu).to_kind(Kind::Float);
        if let Some((count, first)) = crate::image_shape::non_finite_rows(&features) {
            return Err(Error::NonFiniteFeatures { count, first });
        }
        self.n += features.size()[0];
        self.batches.push(features);
        self.shape = Some(shape);
        Ok(())
    }
}

impl<N: FeatureNetwork> FeatureSet<RecipeFeatures<N>> {
    /// Takes in images that are bytes already: `[B, C, H, W]`, all of one size.
    ///
    /// # Errors
    /// As [`FeatureSet::update`].
    pub fn update_bytes(&mut self, bytes: &Tensor) -> Result<()> {
        let found = ImageShape::of_bytes(bytes)?;
        self.admit(found, bytes.size()[0])?;
        let features = self.extractor.features_of_bytes(bytes)?;
        self.keep(found, features)
    }
}
