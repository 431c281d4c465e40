//! A data set brought to one size and color.

use crate::{Image, ImageSource, Info, Result};
use std::sync::Arc;

/// What to do with the colors of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// Keep them; grey and colored images in one data set are an error.
    #[default]
    AsStored,
    /// Make every image grey, one channel.
    Grey,
    /// Give every image three channels.
    Rgb,
}

/// A data set with every image resized and converted as it is read.
///
/// See [`Image::resize`] for the filter and the cropping.
#[derive(Debug)]
pub struct Resized {
    inner: Arc<dyn ImageSource>,
    info: Info,
    size: Option<u32>,
    color: Color,
}

impl Resized {
    /// Wraps a data set; without a `size` the images keep theirs.
    pub fn new(inner: Arc<dyn ImageSource>, size: Option<u32>, color: Color) -> Self {
        let (channels, height, width) = inner.shape();
        let channels = match color {
            Color::AsStored => channels,
            Color::Grey => 1,
            Color::Rgb => 3,
        };
        let shape = (channels, size.unwrap_or(height), size.unwrap_or(width));
        Self { info: Info { shape, ..inner.info().clone() }, inner, size, color }
    }
}

impl ImageSource for Resized {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        let image = self.inner.image(index)?;
        let image = match self.color {
            Color::AsStored => image,
            Color::Grey => image.to_grey(),
            Color::Rgb => image.to_rgb(),
        };
        Ok(match self.size {
            Some(size) => image.resize(size),
            None => image,
        })
    }

    fn label(&self, index: usize) -> Option<i64> {
        self.inner.label(index)
    }

    fn entry(&self, index: usize) -> String {
        self.inner.entry(index)
    }

    fn reads_in_order(&self) -> bool {
        self.inner.reads_in_order()
    }
}
