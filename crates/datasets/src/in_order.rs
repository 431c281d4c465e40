//! Images one after the other, decoded ahead of time.

use crate::prefetch::caught;
use crate::source::checked_image;
use crate::{Error, ImageSource, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use tch::Tensor;

/// Chosen images of a data set in batches of bytes, in order, decoded by several threads while the caller is busy.
///
/// What an evaluation reads: each image once, as it is stored. Yields batches `[B, C, H, W]` of kind `Uint8` on the CPU, the
/// last of which may be smaller. Each thread holds at most two batches. After an error there are no more batches.
///
/// # Example
/// ```
/// use datasets::{InOrder, Shapes};
/// let source = std::sync::Arc::new(Shapes::new(16, 100, 0));
/// let batches = InOrder::new(source, (0..70).collect(), 32, 2)?;
/// let sizes: Vec<i64> = batches.map(|batch| batch.unwrap().size()[0]).collect();
/// assert_eq!(sizes, [32, 32, 6]);
/// # Ok::<(), datasets::Error>(())
/// ```
#[derive(Debug)]
pub struct InOrder {
    shape: [i64; 3],
    /// Batches are dealt to the threads in turn.
    receivers: Vec<Receiver<Result<Vec<u8>>>>,
    next: usize,
    batches: usize,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl InOrder {
    /// The images `indices` of `source` in batches of `batch`, decoded by `threads` threads: one, if the source
    /// [reads in order](ImageSource::reads_in_order).
    ///
    /// # Errors
    /// [`Error::ZeroBatch`] for batches of no images, [`Error::Thread`] if no thread can be had.
    ///
    /// # Panics
    /// If an index is not below the number of images, or there are to be no threads.
    pub fn new(
        source: Arc<dyn ImageSource>,
        indices: Vec<usize>,
        batch: usize,
        threads: usize,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::ZeroBatch);
        }
        assert!(threads > 0, "images are decoded by at least one thread");
        let len = source.len();
        if let Some(index) = indices.iter().find(|&&index| index >= len) {
            panic!("image {index} was chosen from a data set of {len} images");
        }
        let batches = indices.len().div_ceil(batch);
        let threads = if source.reads_in_order() { 1 } else { threads.min(batches) };
        let (channels, height, width) = source.shape();
        let shape = [channels, height, width].map(i64::from);
        let (indices, stop) = (Arc::new(indices), Arc::new(AtomicBool::new(false)));
        let mut all =
            Self { shape, receivers: Vec::new(), next: 0, batches, stop, threads: Vec::new() };
        for first in 0..threads {
            let (sender, receiver) = sync_channel(1);
            let (source, indices) = (Arc::clone(&source), Arc::clone(&indices));
            let worker = Worker { source, indices, batch, stop: Arc::clone(&all.stop) };
            let numbers = (first..batches).step_by(threads);
            let thread = Builder::new().name("decode".into());
            let thread = thread.spawn(move || worker.run(numbers, &sender));
            all.threads.push(thread.map_err(Error::Thread)?);
            all.receivers.push(receiver);
        }
        Ok(all)
    }
}

impl Iterator for InOrder {
    type Item = Result<Tensor>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches {
            return None;
        }
        let gone = || Error::Panicked("a decoding thread is gone".into());
        let pixels = self.receivers[self.next % self.receivers.len()].recv();
        let pixels = pixels.unwrap_or_else(|_| Err(gone()));
        self.next = if pixels.is_ok() { self.next + 1 } else { self.batches };
        let [channels, height, width] = self.shape;
        Some(pixels.map(|pixels| Tensor::from_slice(&pixels).view([-1, channels, height, width])))
    }
}

impl Drop for InOrder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.receivers.clear(); // a thread that waits for room in its channel wakes up
        for thread in self.threads.drain(..) {
            // Its panics were caught and delivered.
            let _ = thread.join();
        }
    }
}

/// What a thread decodes. It makes no tensors: libtorch would give each thread that touches it a thread pool of its own.
struct Worker {
    source: Arc<dyn ImageSource>,
    indices: Arc<Vec<usize>>,
    batch: usize,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(&self, numbers: impl Iterator<Item = usize>, batches: &SyncSender<Result<Vec<u8>>>) {
        for number in numbers {
            let pixels = caught(|| self.decode(number));
            let failed = pixels.is_err();
            if batches.send(pixels).is_err() || failed {
                return;
            }
        }
    }

    /// Batch `number`; cut short by `stop`, it reaches nobody.
    fn decode(&self, number: usize) -> Result<Vec<u8>> {
        let chosen = self.indices.iter().skip(number * self.batch).take(self.batch);
        let mut pixels = Vec::new();
        for &index in chosen.take_while(|_| !self.stop.load(Ordering::Relaxed)) {
            pixels.extend(checked_image(&*self.source, index)?.data);
        }
        Ok(pixels)
    }
}
