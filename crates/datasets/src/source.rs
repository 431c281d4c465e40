//! What every data set can do.

use crate::{Image, Result};
use std::fmt;

/// What is known about a data set before an image is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// A short name for people: that of the file or folder.
    pub name: String,
    /// Number of images.
    pub len: usize,
    /// Number of classes, 0 without labels.
    pub classes: usize,
    /// Channels, height and width of an image.
    pub shape: (u32, u32, u32),
}

impl Info {
    /// Bytes of all images, decoded.
    pub fn bytes(&self) -> u64 {
        let (channels, height, width) = self.shape;
        self.len as u64 * u64::from(channels) * u64::from(height) * u64::from(width)
    }
}

/// A data set of images with random access, readable from any thread.
///
/// Implement it for data of your own; [`crate::Loader`] turns it into batches. The images of one data set have one
/// shape.
pub trait ImageSource: Send + Sync {
    /// Name, size and shape.
    fn info(&self) -> &Info;

    /// Image number `index`, always the same one.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    ///
    /// # Panics
    /// If `index` is not below [`ImageSource::len`].
    fn image(&self, index: usize) -> Result<Image>;

    /// The class of image `index`; `None` in a data set without labels.
    ///
    /// # Panics
    /// May panic if `index` is not below [`ImageSource::len`].
    fn label(&self, index: usize) -> Option<i64>;

    /// What to call image `index` in an error.
    fn entry(&self, index: usize) -> String {
        format!("{} #{index}", self.info().name)
    }

    /// Whether images are only quick to read in increasing order and by one thread, like those of a compressed stream.
    fn reads_in_order(&self) -> bool {
        false
    }

    /// Number of images.
    fn len(&self) -> usize {
        self.info().len
    }

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes, 0 without labels.
    fn classes(&self) -> usize {
        self.info().classes
    }

    /// A short name for people.
    fn name(&self) -> String {
        self.info().name.clone()
    }

    /// Channels, height and width of every image.
    fn shape(&self) -> (u32, u32, u32) {
        self.info().shape
    }
}

impl fmt::Debug for dyn ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info().fmt(f)
    }
}

/// Image `index`, checked to have the shape of its data set.
pub(crate) fn checked_image(source: &dyn ImageSource, index: usize) -> Result<Image> {
    let (channels, height, width) = source.shape();
    let image = source.image(index)?;
    if (image.height, image.width) != (height, width) {
        let (expected, found) = ((height, width), (image.height, image.width));
        return Err(crate::Error::MixedSizes { entry: source.entry(index), expected, found });
    }
    if image.channels != channels {
        let entry = source.entry(index);
        return Err(crate::Error::MixedChannels {
            entry,
            expected: channels,
            found: image.channels,
        });
    }
    Ok(image)
}
