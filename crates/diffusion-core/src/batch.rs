//! Real images, batch by batch.

use crate::{Cond, Result, State};
use std::ops::Range;
use tch::{Device, Tensor};

/// A batch of real images with their conditions.
#[derive(Debug)]
pub struct Batch {
    /// `[B, C, H, W]`, `f32`, in `[-1, 1]`.
    pub images: Tensor,
    /// The conditions of those images.
    pub cond: Cond,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> i64 {
        self.images.size()[0]
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `length` images from `start` on.
    #[must_use]
    pub fn narrow(&self, start: i64, length: i64) -> Self {
        let cond = self.cond.narrow(start, length);
        Self { images: self.images.narrow(0, start, length), cond }
    }

    /// The same batch in memory of its own.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self { images: self.images.copy(), cond: self.cond.map(Tensor::copy) }
    }

    /// Takes over the values of a batch of the same shapes, in place; `false`, and nothing done, for one of others.
    ///
    /// # Panics
    /// If libtorch cannot copy.
    pub fn overwrite(&self, other: &Self) -> bool {
        let shape = |batch: &Self| -> Vec<_> {
            batch.tensors().map(|tensor| tensor.map(|t| (t.size(), t.kind()))).collect()
        };
        if shape(self) != shape(other) {
            return false;
        }
        for (own, new) in self.tensors().flatten().zip(other.tensors().flatten()) {
            own.shallow_clone().copy_(new);
        }
        true
    }

    fn tensors(&self) -> impl Iterator<Item = Option<&Tensor>> {
        [Some(&self.images)].into_iter().chain(self.cond.tensors())
    }

    /// The same batch on another device.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        Self { images: self.images.to_device(device), cond: self.cond.to_device(device) }
    }
}

/// An endless, seeded, resumable source of batches.
pub trait BatchSource {
    /// The next `size` images, on the CPU.
    ///
    /// # Errors
    /// If an image cannot be read or decoded.
    fn next_batch(&mut self, size: usize) -> Result<Batch>;

    /// The images `part` of the next `size`, on the CPU; the source then stands after all `size` of them.
    ///
    /// For processes that share the work: with equal sources, their parts together are the batch. The default reads
    /// the whole batch; a source that can leave out the rest does so.
    ///
    /// # Errors
    /// As [`BatchSource::next_batch`].
    ///
    /// # Panics
    /// If `part` exceeds `size`.
    fn next_part(&mut self, size: usize, part: Range<usize>) -> Result<Batch> {
        let batch = self.next_batch(size)?;
        Ok(batch.narrow(part.start as i64, part.len() as i64))
    }

    /// Where the source stands, so that [`BatchSource::restore`] continues with the same images.
    fn state(&self) -> State;

    /// Continues from a saved state.
    ///
    /// # Errors
    /// If the state is not one of this source.
    fn restore(&mut self, state: &State) -> Result<()>;
}
