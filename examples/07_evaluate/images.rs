//! Images in batches, from files and from a generator.

use anyhow::{Context, Result, ensure};
use fewstep::datasets::{ImageSource, OpenOptions, open};
use fewstep::metrics::edm_subset;
use fewstep::prelude::*;
use fewstep::unet::Architecture;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn bar(title: &'static str, length: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:10} {bar:30} {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::new(length as u64).with_style(style).with_message(title);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// Images in a folder or an archive.
pub(crate) struct Files {
    source: Arc<dyn ImageSource>,
    indices: Vec<i64>,
}

impl Files {
    /// At most `n` of them, chosen as EDM's program does.
    pub(crate) fn open(path: &Path, n: usize) -> Result<Self> {
        let source = open(path, &OpenOptions { cache_bytes: 0, ..OpenOptions::default() })?;
        let total = source.len();
        let indices = match total <= n {
            true => (0..total as i64).collect(),
            false => edm_subset(total as i64, n as i64, 0),
        };
        Ok(Self { source, indices })
    }

    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// Bytes `[B, C, H, W]`, batch by batch.
    pub(crate) fn batches(
        &self,
        title: &'static str,
        batch: usize,
        mut with: impl FnMut(Tensor) -> Result<()>,
    ) -> Result<()> {
        let bar = bar(title, self.len())?;
        for indices in self.indices.chunks(batch) {
            let images = indices.iter().map(|&index| {
                let image = self.source.image(index as usize)?;
                let shape = [image.channels, image.height, image.width].map(i64::from);
                Ok(Tensor::from_slice(&image.data).view(shape))
            });
            let images = images.collect::<Result<Vec<_>>>()?;
            let same = images.iter().all(|image| image.size() == images[0].size());
            ensure!(same, "the images have several sizes or colors: {:?}", images[0].size());
            with(Tensor::stack(&images, 0))?;
            bar.inc(indices.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Images that a model makes of one seed: latents one by one, so that they do not depend on the batch; classes in turn.
pub(crate) struct Generated<'a> {
    generator: &'a dyn Generator,
    shape: [i64; 3],
    classes: i64,
    seed: u64,
    device: Device,
}

impl<'a> Generated<'a> {
    pub(crate) fn new(
        generator: &'a dyn Generator,
        model: &Architecture,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let size = model.image_size().context("the model is not made for images of one size")?;
        let shape = [model.image_channels(), size, size];
        Ok(Self { generator, shape, classes: model.classes(), seed, device })
    }

    /// Images `[B, C, H, W]`, batch by batch, `n` in all.
    pub(crate) fn batches(
        &self,
        n: usize,
        batch: usize,
        mut with: impl FnMut(Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut latents = Noise::new(self.seed).stream("latents").on(self.device);
        let mut noise = Noise::new(self.seed).stream("sampler").on(self.device);
        let bar = bar("images", n)?;
        let labels: Vec<i64> = (0..self.classes.max(1)).cycle().take(n).collect();
        for labels in labels.chunks(batch) {
            let z: Vec<Tensor> = labels.iter().map(|_| latents.normal(&self.shape)).collect();
            let cond = Cond::classes(labels, self.classes, self.device)?;
            with(self.generator.generate(&Tensor::stack(&z, 0), &cond, &mut noise))?;
            bar.inc(labels.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}
