//! Some of the images of a data set.

use crate::{Error, Image, ImageSource, Info, Result};
use diffusion_core::Noise;
use std::sync::Arc;

/// The seed of [`hold_out`]: fixed, so that every run of a data set holds the same images out.
const HOLD_OUT_SEED: u64 = 0x686f_6c64;

/// A choice of images of another data set, in the order of the choice.
#[derive(Debug)]
pub struct Subset {
    inner: Arc<dyn ImageSource>,
    info: Info,
    indices: Vec<usize>,
}

impl Subset {
    /// The images `indices` of `inner`, under another name.
    ///
    /// # Panics
    /// If an index is not below the number of images.
    pub fn new(inner: Arc<dyn ImageSource>, name: &str, indices: Vec<usize>) -> Self {
        let len = inner.len();
        if let Some(index) = indices.iter().find(|&&index| index >= len) {
            panic!("image {index} was chosen from a data set of {len} images");
        }
        let info = Info { name: name.into(), len: indices.len(), ..inner.info().clone() };
        Self { inner, info, indices }
    }
}

impl ImageSource for Subset {
    fn info(&self) -> &Info {
        &self.info
    }

    fn image(&self, index: usize) -> Result<Image> {
        self.inner.image(self.indices[index])
    }

    fn label(&self, index: usize) -> Option<i64> {
        self.inner.label(self.indices[index])
    }

    fn entry(&self, index: usize) -> String {
        self.inner.entry(self.indices[index])
    }

    fn reads_in_order(&self) -> bool {
        self.inner.reads_in_order()
    }
}

/// Splits a data set into images to train on and `count` images held out for evaluation.
///
/// The held-out images are a random choice with a fixed seed: it depends on the number of images alone, so it is the
/// same in every run, and it does not follow the order of the classes in the data set, as the last images or every
/// tenth would. Both parts keep the order of the data set.
///
/// # Errors
/// [`Error::HoldOut`] unless `0 < count < source.len()`.
///
/// # Example
/// ```
/// use datasets::{ImageSource, Shapes, hold_out};
/// let (train, held_out) = hold_out(std::sync::Arc::new(Shapes::new(16, 100, 0)), 20)?;
/// assert_eq!((train.len(), held_out.len()), (80, 20));
/// # Ok::<(), datasets::Error>(())
/// ```
pub fn hold_out(
    source: Arc<dyn ImageSource>,
    count: usize,
) -> Result<(Arc<dyn ImageSource>, Arc<dyn ImageSource>)> {
    let len = source.len();
    if count == 0 || count >= len {
        return Err(Error::HoldOut { count, len });
    }
    let mut held_out = Noise::new(HOLD_OUT_SEED).permutation(len);
    let mut train = held_out.split_off(count);
    held_out.sort_unstable();
    train.sort_unstable();
    let name = source.name();
    let held_out = Subset::new(Arc::clone(&source), &format!("{name}, held out"), held_out);
    Ok((Arc::new(Subset::new(source, &name, train)), Arc::new(held_out)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shapes;
    use std::collections::BTreeSet;

    #[test]
    fn the_parts_share_no_image_and_miss_none() {
        let source: Arc<dyn ImageSource> = Arc::new(Shapes::new(8, 60, 1));
        let (train, held_out) = hold_out(Arc::clone(&source), 13).unwrap();
        assert_eq!((train.len(), held_out.len()), (47, 13));
        let entries = |part: &dyn ImageSource| {
            (0..part.len()).map(|i| part.entry(i)).collect::<BTreeSet<_>>()
        };
        let all: BTreeSet<_> = entries(&*train).union(&entries(&*held_out)).cloned().collect();
        assert_eq!(all, entries(&*source));
        let again = hold_out(source, 13).unwrap().1;
        assert_eq!(entries(&*again), entries(&*held_out));
        // All classes are met, though their order is regular: 13 of 60 images, 12 classes.
        let classes: BTreeSet<_> = (0..13).map(|i| held_out.label(i)).collect();
        assert!(classes.len() >= 6);
    }

    #[test]
    fn an_impossible_count_is_an_error() {
        for count in [0, 60, 61] {
            let source = Arc::new(Shapes::new(8, 60, 1));
            assert!(matches!(hold_out(source, count), Err(Error::HoldOut { len: 60, .. })));
        }
    }
}
