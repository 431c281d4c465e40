//! A data set that is decoded already.

use crate::source::checked_image;
use crate::{Error, Image, ImageSource, Info, Result};
use std::{fmt, thread};

/// Decoded images of one shape in one buffer.
///
/// What CIFAR-10 and MNIST files are read into, and a cache for data sets whose images would otherwise be decoded in
/// every epoch.
pub struct InMemory {
    info: Info,
    pixels: Vec<u8>,
    labels: Option<Vec<i64>>,
}

impl InMemory {
    /// A data set from raw bytes, image by image, channel by channel, row by row.
    ///
    /// # Errors
    /// [`Error::WrongPixelCount`] if the bytes are no whole number of images, [`Error::LabelCount`] if there is not one
    /// label per image, [`Error::LabelOutOfRange`] for a label that is not in `0..classes`.
    pub fn new(
        name: &str,
        shape: (u32, u32, u32),
        pixels: Vec<u8>,
        labels: Option<Vec<i64>>,
        classes: usize,
    ) -> Result<Self> {
        let image_bytes = shape.0 as usize * shape.1 as usize * shape.2 as usize;
        if image_bytes == 0 || !pixels.len().is_multiple_of(image_bytes) {
            return Err(Error::WrongPixelCount { bytes: pixels.len(), image_bytes });
        }
        let len = pixels.len() / image_bytes;
        let classes = if labels.is_some() { classes } else { 0 };
        if let Some(labels) = &labels {
            if labels.len() != len {
                return Err(Error::LabelCount {
                    path: name.into(),
                    images: len,
                    labels: labels.len(),
                });
            }
            let range = 0..classes as i64;
            if let Some(index) = labels.iter().position(|label| !range.contains(label)) {
                let entry = format!("{name} #{index}");
                return Err(Error::LabelOutOfRange { entry, label: labels[index], classes });
            }
        }
        Ok(Self { info: Info { name: name.into(), len, classes, shape }, pixels, labels })
    }

    /// Decodes every image of a data set once, on all cores.
    ///
    /// Every image is read and checked here, so a damaged one is found before the first training step.
    ///
    /// # Errors
    /// That of the first image that cannot be read or has another shape than the rest.
    pub fn decode(source: &dyn ImageSource) -> Result<Self> {
        let info = source.info().clone();
        let threads = match source.reads_in_order() {
            true => 1,
            false => thread::available_parallelism().map_or(1, Into::into),
        };
        let share = info.len.div_ceil(threads).max(1);
        let starts = (0..info.len).step_by(share);
        let parts: Vec<Result<Vec<u8>>> = thread::scope(|scope| {
            let decode = |start: usize| {
                move || decode_range(source, start, (start + share).min(source.len()))
            };
            let workers: Vec<_> = starts.map(|start| scope.spawn(decode(start))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| Err(panicked(&*panic))))
                .collect()
        });
        let mut pixels = Vec::with_capacity(info.bytes() as usize);
        for part in parts {
            pixels.extend(part?);
        }
        let labels = (info.classes > 0)
            .then(|| (0..info.len).map(|index| source.label(index).unwrap_or(-1)).collect());
        Self::new(&info.name, info.shape, pixels, labels, info.classes)
    }
}

fn decode_range(source: &dyn ImageSource, start: usize, end: usize) -> Result<Vec<u8>> {
    let mut pixels = Vec::new();
    for index in start..end {
        pixels.extend(checked_image(source, index)?.data);
    }
    Ok(pixels)
}

/// The error for a panic of a data set.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Panicked(message.unwrap_or("no message").into())
}

impl ImageSource for InMemory {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        let (channels, height, width) = self.info.shape;
        let bytes = self.pixels.len() / self.info.len;
        let data = self.pixels[index * bytes..(index + 1) * bytes].to_vec();
        Ok(Image { channels, height, width, data })
    }

    fn label(&self, index: usize) -> Option<i64> {
        self.labels.as_ref().map(|labels| labels[index])
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InMemory").field(&self.info).finish()
    }
}
