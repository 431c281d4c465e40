//! Training batches from a data set.

use crate::assemble::{Assembled, assemble};
use crate::order::{Cursor, Order, Portion};
use crate::prefetch::{Prefetch, caught};
use crate::{Error, ImageSource, Result};
use diffusion_core::{Batch, BatchSource, State};
use std::ops::Range;
use std::sync::Arc;

/// Endless shuffled batches of a data set, resumable at every batch, made in a thread of their own.
///
/// Every epoch shows each image once, in an order drawn from the seed and the number of the epoch; a batch may run
/// over the end of an epoch. Images are in `[-1, 1]` (`x / 127.5 - 1`), labels one-hot.
///
/// The state is the place after the last batch that was *delivered*; what was prefetched beyond it does not count. A
/// loader that is restored, or asked for another batch size or part, starts its thread anew from that place, so the
/// sequence of images depends on the seed alone. An error or a panic while an image is read is the error of the batch
/// it would have been in; asking again tries again.
///
/// # Example
/// ```
/// use datasets::{Loader, Shapes};
/// use diffusion_core::BatchSource;
/// let source = std::sync::Arc::new(Shapes::new(16, 600, 0));
/// let mut loader = Loader::new(source.clone(), 7)?.with_flip(true);
/// loader.next_batch(32)?;
/// let saved = loader.state();
/// let expected = loader.next_batch(32)?;
///
/// let mut resumed = Loader::new(source, 7)?.with_flip(true);
/// resumed.restore(&saved)?;
/// assert_eq!(resumed.next_batch(32)?.images, expected.images);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    source: Arc<dyn ImageSource>,
    order: Order,
    /// The place after the last batch delivered.
    cursor: Cursor,
    depth: usize,
    prefetch: Option<Prefetch>,
}

impl Loader {
    /// Batches of `source` in the order of `seed`, without flips, two batches ahead.
    ///
    /// # Errors
    /// [`Error::NoImages`] for an empty data set.
    pub fn new(source: Arc<dyn ImageSource>, seed: u64) -> Result<Self> {
        if source.is_empty() {
            return Err(Error::NoImages(source.name()));
        }
        let order = Order::new(seed, source.len());
        Ok(Self { source, order, cursor: Cursor::default(), depth: 2, prefetch: None })
    }

    /// Mirrors each image left to right with probability one half, drawn anew in every epoch.
    #[must_use]
    pub fn with_flip(self, flip: bool) -> Self {
        Self { order: self.order.with_flip(flip), prefetch: None, ..self }
    }

    /// How many batches are made ahead; 0 makes them when they are asked for, in the caller's thread.
    #[must_use]
    pub fn with_prefetch(self, depth: usize) -> Self {
        Self { depth, prefetch: None, ..self }
    }

    /// The data set.
    pub fn source(&self) -> &Arc<dyn ImageSource> {
        &self.source
    }

    fn next(&mut self, portion: Portion) -> Result<(Assembled, Cursor)> {
        if portion.part.is_empty() {
            return Err(Error::ZeroBatch);
        }
        if self.depth == 0 {
            let (picks, after) = self.order.take(self.cursor, &portion);
            return caught(|| assemble(&*self.source, picks.into_iter()))
                .map(|batch| (batch, after));
        }
        let prefetch = match self.prefetch.take().filter(|running| *running.portion() == portion) {
            Some(running) => running,
            None => {
                let source = Arc::clone(&self.source);
                Prefetch::start(source, self.order.clone(), self.cursor, portion, self.depth)?
            }
        };
        let ready = prefetch.next()?; // on an error the thread has ended, and is not kept
        self.prefetch = Some(prefetch);
        Ok(ready)
    }

    fn check(&self, state: &State) -> diffusion_core::Result<Cursor> {
        let (len, flip) = (self.order.len as u64, u64::from(self.order.flip));
        for (what, here) in [("length", len), ("seed", self.order.seed), ("flip", flip)] {
            let saved = state.get(what)?;
            if saved != here {
                return Err(Error::OtherRun { what, saved, here }.into());
            }
        }
        let (epoch, position) = (state.get("epoch")?, state.get::<u64>("position")?);
        if position >= len {
            return Err(Error::OtherRun { what: "position", saved: position, here: len }.into());
        }
        Ok(Cursor { epoch, position: position as usize })
    }
}

impl BatchSource for Loader {
    fn next_batch(&mut self, size: usize) -> diffusion_core::Result<Batch> {
        self.next_part(size, 0..size)
    }

    /// Reads only the images of the part.
    fn next_part(&mut self, size: usize, part: Range<usize>) -> diffusion_core::Result<Batch> {
        assert!(part.end <= size, "the part {part:?} exceeds the batch of {size}");
        let (assembled, after) = self.next(Portion { size, part })?;
        let batch = assembled.into_batch().inspect_err(|_| self.prefetch = None)?;
        self.cursor = after;
        Ok(batch)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.set("length", self.order.len as u64);
        state.set("seed", self.order.seed);
        state.set("flip", u64::from(self.order.flip));
        state.set("epoch", self.cursor.epoch);
        state.set("position", self.cursor.position as u64);
        state
    }

    fn restore(&mut self, state: &State) -> diffusion_core::Result<()> {
        self.cursor = self.check(state)?;
        self.prefetch = None;
        Ok(())
    }
}
