//! From pictures to a batch.

use crate::order::Pick;
use crate::source::checked_image;
use crate::{ImageSource, Result};
use diffusion_core::{Batch, Cond};
use std::ops::Range;
use tch::{Device, Tensor};

/// The numbers of a batch, not yet tensors.
///
/// Worker threads stop here: libtorch would give each thread that touches it a thread pool of its own.
#[derive(Debug)]
pub(crate) struct Assembled {
    values: Vec<f32>,
    labels: Vec<i64>,
    shape: [i64; 4],
    classes: i64,
}

/// Reads and converts images: `x / 127.5 - 1`.
pub(crate) fn assemble(
    source: &dyn ImageSource,
    picks: impl Iterator<Item = Pick>,
) -> Result<Assembled> {
    let (channels, height, width) = source.shape();
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for pick in picks {
        let image = checked_image(source, pick.index)?;
        let image = if pick.flip { image.flip_horizontal() } else { image };
        values.extend(image.data.iter().map(|&value| f32::from(value) / 127.5 - 1.0));
        // A missing label becomes one that the range check of `Cond::classes` refuses.
        labels.push(source.label(pick.index).unwrap_or(-1));
    }
    let shape = [labels.len() as i64, channels.into(), height.into(), width.into()];
    Ok(Assembled { values, labels, shape, classes: source.classes() as i64 })
}

impl Assembled {
    pub(crate) fn into_batch(self) -> diffusion_core::Result<Batch> {
        let images = Tensor::from_slice(&self.values).view(self.shape);
        Ok(Batch { images, cond: Cond::classes(&self.labels, self.classes, Device::Cpu)? })
    }
}

/// The images of `range` in the order of the data set, as one batch: a fixed set for evaluation.
///
/// # Shapes
/// `[range.len(), C, H, W]`, `f32`, in `[-1, 1]`, on the CPU; labels one-hot.
///
/// # Errors
/// If an image cannot be read or has another shape than the data set.
///
/// # Panics
/// If the range exceeds the data set.
///
/// # Example
/// ```
/// let batch = datasets::images(&datasets::Shapes::new(16, 100, 0), 0..24)?;
/// assert_eq!(batch.images.size(), [24, 3, 16, 16]);
/// assert_eq!(batch.cond.labels.unwrap().size(), [24, 12]);
/// # Ok::<(), diffusion_core::Error>(())
/// ```
pub fn images(source: &dyn ImageSource, range: Range<usize>) -> diffusion_core::Result<Batch> {
    let len = source.len();
    assert!(range.end <= len, "images {range:?} were asked for, the data set has {len}");
    assemble(source, range.map(|index| Pick { index, flip: false }))?.into_batch()
}
