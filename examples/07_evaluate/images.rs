//! Images in batches, from files and from a generator.

use anyhow::{Context, Result, ensure};
use fewstep::datasets::{ImageSource, InOrder, OpenOptions, open};
use fewstep::metrics::{ByteRule, ImageShape, edm_subset};
use fewstep::prelude::*;
use fewstep::tch::{Cuda, no_grad};
use fewstep::unet::Architecture;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A set of images that can be gone through.
pub(crate) trait ImageSet {
    /// Number of images.
    fn len(&self) -> usize;

    /// The class of each image; all the same without classes.
    fn labels(&self) -> Vec<i64>;

    /// Gives bytes `[B, C, H, W]` to `with`, batch by batch; returns the milliseconds that making an image took, if they were
    /// made.
    fn each(&self, batch: usize, with: &mut dyn FnMut(Tensor) -> Result<()>)
    -> Result<Option<f64>>;
}

fn bar(title: &'static str, length: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:10} {bar:30} {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::new(length as u64).with_style(style).with_message(title);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// Images in a folder or an archive.
pub(crate) struct Files {
    title: &'static str,
    source: Arc<dyn ImageSource>,
    indices: Vec<usize>,
    threads: usize,
}

impl Files {
    /// At most `n` of them, chosen as EDM's program does, decoded by `threads` threads.
    pub(crate) fn open(title: &'static str, path: &Path, n: usize, threads: usize) -> Result<Self> {
        let source = open(path, &OpenOptions { cache_bytes: 0, ..OpenOptions::default() })?;
        let total = source.len();
        let indices = match total <= n {
            true => (0..total).collect(),
            false => edm_subset(total as i64, n as i64, 0).iter().map(|&i| i as usize).collect(),
        };
        Ok(Self { title, source, indices, threads })
    }
}

impl ImageSet for Files {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn labels(&self) -> Vec<i64> {
        self.indices.iter().map(|&index| self.source.label(index).unwrap_or(0)).collect()
    }

    fn each(
        &self,
        batch: usize,
        with: &mut dyn FnMut(Tensor) -> Result<()>,
    ) -> Result<Option<f64>> {
        let bar = bar(self.title, self.len())?;
        let source = Arc::clone(&self.source);
        for images in InOrder::new(source, self.indices.clone(), batch, self.threads)? {
            let images = images?;
            let read = images.size()[0] as u64;
            with(images)?;
            bar.inc(read);
        }
        bar.finish_and_clear();
        Ok(None)
    }
}

/// Images that a model makes of one seed: latents one by one, so that they do not depend on the batch; classes in turn.
pub(crate) struct Generated<'a> {
    generator: &'a dyn Generator,
    /// Channels, height and width.
    shape: [i64; 3],
    classes: i64,
    n: usize,
    seed: u64,
    /// How they become bytes.
    bytes: ByteRule,
    device: Device,
}

impl<'a> Generated<'a> {
    /// `n` images of the generator that was made of `model`.
    pub(crate) fn of(
        generator: &'a dyn Generator,
        model: &Architecture,
        n: usize,
        seed: u64,
        bytes: ByteRule,
        device: Device,
    ) -> Result<Self> {
        ensure!(!model.needs_text(), "the model needs a text, which this example has not");
        let size = model.image_size().context("the model is not made for images of one size")?;
        let shape = [model.image_channels(), size, size];
        Ok(Self { generator, shape, classes: model.classes(), n, seed, bytes, device })
    }

    /// Images `[B, C, H, W]`, each batch with the time it took; ends when `with` says so.
    pub(crate) fn batches(
        &self,
        batch: usize,
        mut with: impl FnMut(Tensor, Duration) -> Result<bool>,
    ) -> Result<()> {
        let mut latents = Noise::new(self.seed).stream("latents").on(self.device);
        let mut noise = Noise::new(self.seed).stream("sampler").on(self.device);
        for labels in self.labels().chunks(batch) {
            let z: Vec<Tensor> = labels.iter().map(|_| latents.normal(&self.shape)).collect();
            let z = Tensor::stack(&z, 0);
            let cond = Cond::classes(labels, self.classes, self.device)?;
            synchronize(self.device);
            let start = Instant::now();
            let images = no_grad(|| self.generator.generate(&z, &cond, &mut noise));
            synchronize(self.device);
            if !with(images, start.elapsed())? {
                break;
            }
        }
        Ok(())
    }

    /// The first batch.
    pub(crate) fn first(&self, batch: usize) -> Result<Tensor> {
        let mut first = None;
        self.batches(batch, |images, _| {
            first = Some(images);
            Ok(false)
        })?;
        first.context("there is no image")
    }
}

impl ImageSet for Generated<'_> {
    fn len(&self) -> usize {
        self.n
    }

    fn labels(&self) -> Vec<i64> {
        (0..self.classes.max(1)).cycle().take(self.n).collect()
    }

    fn each(
        &self,
        batch: usize,
        with: &mut dyn FnMut(Tensor) -> Result<()>,
    ) -> Result<Option<f64>> {
        let bar = bar("images", self.n)?;
        let (mut made, mut times) = (0, Vec::new());
        self.batches(batch, |images, time| {
            let number = images.size()[0];
            let named =
                || format!("the generator's images from number {made} on, seed {}", self.seed);
            ImageShape::of(&images).with_context(named)?;
            with(self.bytes.encode(&images))?;
            times.push(time.as_secs_f64() * 1000.0 / number as f64);
            made += number;
            bar.inc(number as u64);
            Ok(true)
        })?;
        bar.finish_and_clear();
        // The first batch warms up, the last may be small.
        let warm = if times.len() > 2 { &times[1..times.len() - 1] } else { &times[..] };
        Ok(Some(warm.iter().sum::<f64>() / warm.len() as f64))
    }
}

/// Waits until the device has done what it was given.
fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}
