//! A generator against real images: generate, time, measure.

use crate::latency::timed;
use crate::{
    Classifier, Error, FeatureExtractor, FeatureSet, ImageShape, Latency, Measurement, Metric,
    PixelSlicedWasserstein, RandomConvFeatures, RandomFeatureFrechet, Report, Result, SetStatistic,
};
use diffusion_core::{Batch, Cond, Generator, Noise};
use std::fmt;
use std::time::Duration;
use tch::{Device, Tensor};

/// Seed and number of the sliced Wasserstein distance's directions: the same in every evaluation.
const DIRECTIONS_SEED: u64 = 0x736c_6963_6564;
const N_DIRECTIONS: i64 = 256;

/// Measures generators against the same real images, the same way.
///
/// Every generator gets the same latents and conditions, whatever the batch size: row `i` of one sampler's grid shows
/// what another makes of the same noise. Conditions are drawn like those of the reference.
///
/// # Example
/// ```
/// use diffusion_core::{Batch, Cond, Generator, Noise};
/// use metrics::{Evaluation, table};
/// use tch::{Device, Tensor};
///
/// struct Scaled(f64);
/// impl Generator for Scaled {
///     fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
///         z * self.0
///     }
///     fn nfe(&self) -> usize {
///         1
///     }
/// }
/// let real = Noise::new(1).normal(&[128, 3, 8, 8]) * 0.3;
/// let held_out = Noise::new(2).normal(&[64, 3, 8, 8]) * 0.3;
/// let reference = Batch { images: real, cond: Cond::none() };
/// let mut evaluation = Evaluation::new(&reference, 32, Device::Cpu)?;
/// let floor = evaluation.real("real (held out)", &held_out)?;
/// let good = evaluation.run("good", &Scaled(0.3), 64, &Noise::new(0))?;
/// let flat = evaluation.run("flat", &Scaled(0.1), 64, &Noise::new(0))?;
/// assert_eq!(good.images.size(), [64, 3, 8, 8]);
/// assert!(flat.report.value("SW1") > good.report.value("SW1"));
/// println!("{}", table(&[floor, good.report, flat.report]));
/// # Ok::<(), metrics::Error>(())
/// ```
pub struct Evaluation<'a> {
    reference: Batch,
    shape: ImageShape,
    batch: i64,
    device: Device,
    metrics: Vec<Box<dyn Metric + 'a>>,
    comparisons: Vec<Comparison<'a>>,
    classifiers: Vec<Classifier<Box<dyn FeatureExtractor + 'a>>>,
}

/// Features of the real images, and what is computed from them.
struct Comparison<'a> {
    real: FeatureSet<Box<dyn FeatureExtractor + 'a>>,
    statistics: Vec<SetStatistic>,
}

/// What a generator made, and how good it is.
#[derive(Debug)]
pub struct Evaluated {
    /// The values.
    pub report: Report,
    /// The images, `[n, C, H, W]`, on the CPU, as the generator returned them.
    pub images: Tensor,
    /// Their conditions, on the CPU.
    pub cond: Cond,
}

impl<'a> Evaluation<'a> {
    /// Compares with `reference` by the random-feature Fréchet and the sliced Wasserstein distance; generates `batch`
    /// images at a time on `device`.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for `batch < 1`; what the two metrics report for unusable images.
    pub fn new(reference: &Batch, batch: i64, device: Device) -> Result<Self> {
        let net = RandomConvFeatures::new(device);
        let frechet = RandomFeatureFrechet::from_images(net, &reference.images, batch)?;
        let mut noise = Noise::new(DIRECTIONS_SEED);
        let sliced = PixelSlicedWasserstein::new(&reference.images, N_DIRECTIONS, &mut noise)?;
        Ok(Self {
            reference: reference.narrow(0, reference.len()),
            shape: ImageShape::of(&reference.images)?,
            batch,
            device,
            metrics: vec![Box::new(frechet), Box::new(sliced)],
            comparisons: Vec::new(),
            classifiers: Vec::new(),
        })
    }

    /// The same evaluation with one more metric.
    #[must_use]
    pub fn with_metric(mut self, metric: impl Metric + 'a) -> Self {
        self.metrics.push(Box::new(metric));
        self
    }

    /// The same evaluation with statistics of features, all from one pass of the network over the images.
    ///
    /// # Errors
    /// [`Error::TooFew`] without a statistic; what the extractor reports for the reference.
    ///
    /// # Example
    /// ```
    /// use diffusion_core::{Batch, Cond, Noise};
    /// use metrics::{Boundary, Evaluation, RandomConvFeatures, SetStatistic};
    /// use tch::Device;
    /// let images = Noise::new(1).normal(&[64, 3, 8, 8]) * 0.3;
    /// let reference = Batch { images: images.copy(), cond: Cond::none() };
    /// let statistics = [
    ///     SetStatistic::Precision { k: 3, boundary: Boundary::Inside },
    ///     SetStatistic::Coverage { k: 5 },
    /// ];
    /// let mut evaluation = Evaluation::new(&reference, 32, Device::Cpu)?
    ///     .with_statistics(RandomConvFeatures::new(Device::Cpu), &statistics)?;
    /// let same = evaluation.real("the same images", &images)?;
    /// assert_eq!((same.value("precision"), same.value("coverage")), (Some(1.0), Some(1.0)));
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn with_statistics(
        mut self,
        extractor: impl FeatureExtractor + 'a,
        statistics: &[SetStatistic],
    ) -> Result<Self> {
        if statistics.is_empty() {
            return Err(Error::TooFew { found: 0, needed: 1 });
        }
        let extractor: Box<dyn FeatureExtractor + 'a> = Box::new(extractor);
        let real = self.features(extractor, &self.reference.images)?;
        self.comparisons.push(Comparison { real, statistics: statistics.to_vec() });
        Ok(self)
    }

    /// The same evaluation with what a classifier says of the images: see [`Classifier`]. The features of `logits` are its
    /// outputs before the softmax.
    #[must_use]
    pub fn with_classifier(mut self, logits: impl FeatureExtractor + 'a) -> Self {
        self.classifiers.push(Classifier::new(Box::new(logits)));
        self
    }

    /// Generates `n` images and measures them.
    ///
    /// Latents, conditions and the sampler's own noise are streams of `noise`: equal `noise`, equal latents. The
    /// latency is that of the full batches; the first call counts only if there is no other.
    ///
    /// # Errors
    /// - [`Error::TooFew`] for `n < 2`;
    /// - [`Error::GeneratorShape`] if the generator's images have another shape than its latents;
    /// - what the metrics report, such as [`Error::NonFiniteImages`].
    pub fn run(
        &mut self,
        sampler: &str,
        generator: &dyn Generator,
        n: i64,
        noise: &Noise,
    ) -> Result<Evaluated> {
        if n < 2 {
            return Err(Error::TooFew { found: n, needed: 2 });
        }
        let cond = self.draw_conditions(n, noise);
        let mut batches = Vec::new();
        let mut calls = Vec::new();
        let mut latents = noise.stream("latents").on(self.device);
        let mut inner = noise.stream("sampler").on(self.device);
        for start in (0..n).step_by(self.batch as usize) {
            let length = self.batch.min(n - start);
            let z = self.draw_latents(length, &mut latents);
            let part = cond.narrow(start, length).to_device(self.device);
            let (images, time) = generate(generator, &z, &part, &mut inner)?;
            batches.push(images);
            calls.push(time);
        }
        let images = Tensor::cat(&batches, 0);
        let latency = Some(self.summarize(n, &calls)?);
        let measurements = self.measure(&images, &cond)?;
        let nfe = Some(generator.nfe());
        let report = Report { sampler: sampler.into(), nfe, n_images: n, latency, measurements };
        Ok(Evaluated { report, images, cond })
    }

    /// Measures other real images: the floor that no generator is expected to get below.
    ///
    /// The floor of finite samples depends on their number: give as many images as the generators make.
    ///
    /// # Errors
    /// What the metrics report.
    pub fn real(&mut self, name: &str, images: &Tensor) -> Result<Report> {
        self.labeled(name, images, &Cond::none())
    }

    /// The same for real images whose labels are known, which a classifier is asked for.
    ///
    /// # Errors
    /// What the metrics report.
    pub fn labeled(&mut self, name: &str, images: &Tensor, cond: &Cond) -> Result<Report> {
        let measurements = self.measure(images, cond)?;
        let n_images = images.size()[0];
        Ok(Report { sampler: name.into(), nfe: None, n_images, latency: None, measurements })
    }

    fn measure(&mut self, images: &Tensor, cond: &Cond) -> Result<Vec<Measurement>> {
        ImageShape::of(images)?;
        let mut measurements = Vec::with_capacity(self.metrics.len());
        for metric in &mut self.metrics {
            metric.reset();
            for part in images.split(self.batch, 0) {
                metric.update(&part)?;
            }
            measurements.push(Measurement { info: metric.info(), value: metric.value()? });
        }
        for Comparison { real, statistics } in &self.comparisons {
            let set = self.features(real.extractor(), images)?;
            for &statistic in statistics {
                measurements.push(set.compare(real, statistic)?);
            }
        }
        for classifier in &self.classifiers {
            measurements.extend(classifier.measure(images, cond.labels.as_ref(), self.batch)?);
        }
        Ok(measurements)
    }

    fn features<E: FeatureExtractor>(
        &self,
        extractor: E,
        images: &Tensor,
    ) -> Result<FeatureSet<E>> {
        let mut set = FeatureSet::new(extractor).with_max_images(images.size()[0]);
        for part in images.split(self.batch, 0) {
            set.update(&part)?;
        }
        Ok(set)
    }

    /// One draw an image, so that the latents do not depend on the batch size.
    fn draw_latents(&self, length: i64, noise: &mut Noise) -> Tensor {
        let ImageShape { channels, height, width } = self.shape;
        let draws: Vec<Tensor> =
            (0..length).map(|_| noise.normal(&[channels, height, width])).collect();
        Tensor::stack(&draws, 0)
    }

    /// Rows of the reference in random order, all of them before any repeats: the proportions of its classes.
    fn draw_conditions(&self, n: i64, noise: &Noise) -> Cond {
        let mut noise = noise.stream("conditions");
        let mut rows = Vec::with_capacity(n as usize);
        while (rows.len() as i64) < n {
            let order = noise.permutation(self.reference.len() as usize);
            rows.extend(order.into_iter().map(|row| row as i64));
        }
        rows.truncate(n as usize);
        let mut cond = self.reference.cond.to_device(Device::Cpu).select(&rows);
        cond.augment = None;
        cond
    }

    fn summarize(&self, n: i64, calls: &[Duration]) -> Result<Latency> {
        let full = &calls[..(n / self.batch) as usize];
        match full {
            [] => Latency::of_calls(self.device, n, calls),
            [only] => Latency::of_calls(self.device, self.batch, &[*only]),
            [_, timed @ ..] => Latency::of_calls(self.device, self.batch, timed),
        }
    }
}

impl fmt::Debug for Evaluation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics: Vec<String> = self.metrics.iter().map(|metric| metric.info().name).collect();
        let statistics: Vec<&SetStatistic> =
            self.comparisons.iter().flat_map(|comparison| &comparison.statistics).collect();
        f.debug_struct("Evaluation")
            .field("shape", &self.shape)
            .field("batch", &self.batch)
            .field("device", &self.device)
            .field("metrics", &metrics)
            .field("statistics", &statistics)
            .finish_non_exhaustive()
    }
}

/// The images for `z`, on the CPU, and the time they took.
fn generate(
    generator: &dyn Generator,
    z: &Tensor,
    cond: &Cond,
    noise: &mut Noise,
) -> Result<(Tensor, Duration)> {
    let _no_grad = tch::no_grad_guard();
    let (images, time) = timed(z.device(), || generator.generate(z, cond, noise));
    let (expected, found) = (z.size(), images.size());
    if expected != found {
        return Err(Error::GeneratorShape { expected, found });
    }
    Ok((images.to_device(Device::Cpu), time))
}
