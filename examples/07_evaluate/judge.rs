//! All numbers of a set of images, from one pass.

use super::images::ImageSet;
use super::wanted::Wanted;
use anyhow::{Context, Result, ensure};
use fewstep::backbones::{Inception, Lpips, PublishedFeatures};
use fewstep::metrics::{
    ByteScale, Direction, Diversity, DiversityPairs, FrechetReference, GaussianStats, ImageShape,
    InceptionScore, Measurement, MetricInfo, Recipe, ReferenceStats, SetStatistic,
};
use fewstep::prelude::*;
use fewstep::tch::no_grad;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Pairs whose LPIPS is taken at a time.
const LPIPS_BATCH: usize = 16;

/// Networks and the reference: whatever is needed to measure a set of images.
pub(crate) struct Judge {
    pub(crate) recipe: Recipe,
    /// The recipe's network, if anything needs it.
    pub(crate) features: Option<PublishedFeatures>,
    pub(crate) reference: Option<ReferenceStats>,
    /// The reference's Gaussian, once there is a Fréchet distance to compute.
    pub(crate) gaussian: OnceCell<FrechetReference>,
    /// What makes a classifier's outputs of the features; `None` if the features are such outputs.
    pub(crate) head: Option<Inception>,
    pub(crate) lpips: Option<Lpips>,
    /// Pairs of the LPIPS diversity.
    pub(crate) pairs: usize,
    pub(crate) device: Device,
}

/// A number, the standard error of it where it is a mean, and what it is.
pub(crate) struct Value {
    pub(crate) measurement: Measurement,
    pub(crate) standard_error: Option<f64>,
}

/// What is kept of the images while they go by.
struct Kept {
    shape: Option<ImageShape>,
    moments: GaussianStats,
    /// Features of all images, if they are needed.
    features: Vec<Tensor>,
    /// Images that are needed themselves, by their place.
    pixels: BTreeMap<usize, Option<Tensor>>,
    seen: usize,
}

impl Judge {
    /// What a number of a set of `n` images is, before it is measured.
    pub(crate) fn info(&self, wanted: Wanted, n: usize) -> Result<MetricInfo> {
        let recipe = &self.recipe;
        Ok(match wanted {
            Wanted::Statistic(statistic) => self.reference()?.info(recipe, statistic, n as i64),
            Wanted::Score(splits) => {
                let outputs = Recipe {
                    output: Recipe::INCEPTION_SCORE.output,
                    dim: Recipe::INCEPTION_SCORE.dim,
                    ..recipe.clone()
                };
                splits.info(&outputs.to_string(), n as i64)
            }
            Wanted::LpipsDiversity => MetricInfo {
                name: "mean LPIPS of pairs of images of one class".into(),
                label: "LPIPS-div".into(),
                unit: "LPIPS".into(),
                direction: Direction::HigherIsBetter,
                recipe: format!(
                    "LPIPS 0.1 with VGG16; bytes by {}; {} pairs of {n} images, drawn with replacement from seed 0",
                    recipe.bytes, self.pairs
                ),
            },
        })
    }

    fn reference(&self) -> Result<&ReferenceStats> {
        self.reference.as_ref().context("there is no reference to compare with")
    }

    /// Goes through the images once; returns the values in the order of `wanted`, and the milliseconds an image took to make.
    pub(crate) fn measure(
        &self,
        wanted: &[Wanted],
        images: &dyn ImageSet,
        batch: usize,
    ) -> Result<(Vec<Value>, Option<f64>)> {
        let pairs = match wanted.contains(&Wanted::LpipsDiversity) {
            true => Some(
                DiversityPairs::draw(&images.labels(), self.pairs, &mut Noise::new(0))
                    .context("LPIPS diversity")?,
            ),
            false => None,
        };
        let mut kept = Kept {
            shape: None,
            moments: GaussianStats::new(self.recipe.dim),
            features: Vec::new(),
            pixels: pairs.iter().flat_map(|pairs| pairs.images()).map(|i| (i, None)).collect(),
            seen: 0,
        };
        let ms = images.each(batch, &mut |bytes| kept.take_in(self, wanted, &bytes))?;
        let features = (!kept.features.is_empty()).then(|| Tensor::cat(&kept.features, 0));
        kept.features.clear();
        let mut of_reference = self.of_reference(wanted, &kept, features.as_ref())?.into_iter();
        let n = kept.seen;
        let value = |&wanted: &Wanted| {
            let info = || self.info(wanted, n);
            let (measurement, standard_error) = match wanted {
                Wanted::Statistic(_) => (of_reference.next().context("no value")?, None),
                Wanted::Score(splits) => {
                    let outputs = self.outputs(features.as_ref().context("no features")?);
                    let value = InceptionScore::of_logits(&outputs, splits)?.mean;
                    (Measurement { info: info()?, value }, None)
                }
                Wanted::LpipsDiversity => {
                    let found = self.diversity(pairs.as_ref().context("no pairs")?, &kept)?;
                    let measurement = Measurement { info: info()?, value: found.mean };
                    (measurement, Some(found.standard_error))
                }
            };
            let Measurement { info: MetricInfo { label, .. }, value } = &measurement;
            ensure!(value.is_finite(), "{label} is {value}, which is no measurement");
            Ok(Value { measurement, standard_error })
        };
        Ok((wanted.iter().map(value).collect::<Result<_>>()?, ms))
    }

    /// The statistics among the `wanted`, in their order.
    fn of_reference(
        &self,
        wanted: &[Wanted],
        kept: &Kept,
        features: Option<&Tensor>,
    ) -> Result<Vec<Measurement>> {
        let statistics: Vec<_> = wanted.iter().filter_map(|wanted| wanted.statistic()).collect();
        let of_features = statistics.iter().copied();
        let of_features: Vec<_> = of_features.filter(|s| *s != SetStatistic::Frechet).collect();
        let mut found = match features {
            Some(features) if !of_features.is_empty() => {
                self.reference()?.compare(&self.recipe, features, &of_features)?.into_iter()
            }
            _ => Vec::new().into_iter(),
        };
        let measurement = |&statistic: &SetStatistic| match statistic {
            SetStatistic::Frechet => self.frechet(&kept.moments),
            _ => found.next().context("no features were kept"),
        };
        statistics.iter().map(measurement).collect()
    }

    /// The Fréchet distance, from moments that were summed while the images went by.
    fn frechet(&self, moments: &GaussianStats) -> Result<Measurement> {
        let (reference, recipe) = (self.reference()?, &self.recipe);
        let gaussian = match self.gaussian.get() {
            Some(known) => known,
            None => {
                let made = reference.for_recipe(recipe)?;
                self.gaussian.get_or_init(|| made)
            }
        };
        let (mean, covariance) = (moments.mean()?, moments.covariance_by(recipe.divisor)?);
        let value = gaussian.distance(&mean, &covariance)?;
        let info = reference.info(recipe, SetStatistic::Frechet, moments.count());
        Ok(Measurement { info, value })
    }

    /// A classifier's outputs from features.
    fn outputs(&self, features: &Tensor) -> Tensor {
        let Some(head) = &self.head else { return features.shallow_clone() };
        let part = |part: Tensor| head.logits_without_bias(&part.to_device(self.device));
        let parts = features.split(4096, 0).into_iter().map(part);
        Tensor::cat(&parts.map(|part| part.to_device(Device::Cpu)).collect::<Vec<_>>(), 0)
    }

    fn diversity(&self, pairs: &DiversityPairs, kept: &Kept) -> Result<Diversity> {
        let lpips = self.lpips.as_ref().context("LPIPS is not loaded")?;
        let shape = kept.shape.context("there is no image")?;
        let usable = [1, 3].contains(&shape.channels) && shape.height.min(shape.width) >= 16;
        ensure!(
            usable,
            "LPIPS needs images of 1 or 3 channels and 16x16 pixels; these are {shape}"
        );
        let image = |place: usize| {
            let bytes = kept.pixels[&place].as_ref().expect("every image of a pair went by");
            let image = ByteScale::Edm.decode(bytes).to_device(self.device);
            image.expand([3, -1, -1], false)
        };
        let distance = |a: &Tensor, b: &Tensor| Ok(no_grad(|| lpips.distance(a, b)));
        Ok(Diversity::of(pairs, LPIPS_BATCH, image, distance)?)
    }
}

impl Kept {
    fn take_in(&mut self, judge: &Judge, wanted: &[Wanted], bytes: &Tensor) -> Result<()> {
        let found = ImageShape::of_bytes(bytes)?;
        self.shape.get_or_insert(found).require_same(found)?;
        if let Some(extractor) = judge.features.as_ref().filter(|_| needs_network(wanted)) {
            let features = extractor.features_of_bytes(bytes)?.to_device(Device::Cpu);
            self.moments.update(&features)?;
            if wanted.iter().any(|wanted| wanted.keeps_features()) {
                self.features.push(features.to_kind(Kind::Float));
            }
        }
        let places = self.seen..self.seen + bytes.size()[0] as usize;
        for (&place, pixels) in self.pixels.range_mut(places) {
            *pixels = Some(bytes.get((place - self.seen) as i64).to_device(Device::Cpu).copy());
        }
        self.seen += bytes.size()[0] as usize;
        Ok(())
    }
}

/// Whether anything that is wanted needs the recipe's network.
pub(crate) fn needs_network(wanted: &[Wanted]) -> bool {
    wanted.iter().any(|wanted| *wanted != Wanted::LpipsDiversity)
}
