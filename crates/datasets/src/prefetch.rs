//! Batches made ahead of time, in another thread.

use crate::assemble::{Assembled, assemble};
use crate::in_memory::panicked;
use crate::order::{Cursor, Order, Portion};
use crate::{Error, ImageSource, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// A batch, and the place after it.
pub(crate) type Ready = (Assembled, Cursor);

/// A thread that makes batches of one kind, in order, from a place on.
///
/// It holds as many finished batches as the channel does, and one more in hand. It ends after an error or a panic,
/// which is delivered in place of a batch, and when it is dropped, at the latest after the image it is reading.
#[derive(Debug)]
pub(crate) struct Prefetch {
    portion: Portion,
    batches: Option<Receiver<Result<Ready>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prefetch {
    pub(crate) fn start(
        source: Arc<dyn ImageSource>,
        order: Order,
        from: Cursor,
        portion: Portion,
        depth: usize,
    ) -> Result<Self> {
        let (sender, batches) = sync_channel(depth);
        let stop = Arc::new(AtomicBool::new(false));
        let job = Job { source, order, portion: portion.clone(), stop: Arc::clone(&stop) };
        let thread = Builder::new().name("prefetch".into()).spawn(move || job.run(from, &sender));
        let thread = thread.map_err(Error::Thread)?;
        Ok(Self { portion, batches: Some(batches), stop, thread: Some(thread) })
    }

    pub(crate) fn portion(&self) -> &Portion {
        &self.portion
    }

    /// Waits for the next batch.
    pub(crate) fn next(&self) -> Result<Ready> {
        let gone = || Error::Panicked("the prefetch thread is gone".into());
        self.batches.as_ref().ok_or_else(gone)?.recv().map_err(|_| gone())?
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.batches = None; // a thread that waits for room in the channel wakes up
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and delivered.
            let _ = thread.join();
        }
    }
}

struct Job {
    source: Arc<dyn ImageSource>,
    order: Order,
    portion: Portion,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn run(mut self, mut cursor: Cursor, batches: &SyncSender<Result<Ready>>) {
        loop {
            let (picks, after) = self.order.take(cursor, &self.portion);
            // A batch cut short by `stop` reaches nobody: its receiver is about to go.
            let going = picks.into_iter().take_while(|_| !self.stop.load(Ordering::Relaxed));
            let batch = caught(|| assemble(&*self.source, going)).map(|batch| (batch, after));
            let failed = batch.is_err();
            if batches.send(batch).is_err() || failed {
                return;
            }
            cursor = after;
        }
    }
}

/// Runs `read`, with a panic as an error.
pub(crate) fn caught<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}
