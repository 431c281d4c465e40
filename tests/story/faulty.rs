//! Data that fails in the middle of a run.

use fewstep::datasets::{self, Image, ImageSource, Info, Shapes};
use fewstep::diffusion_core::{self, State};
use fewstep::prelude::*;
use std::cell::Cell;
use std::rc::Rc;

/// A source that counts its batches; one of them, counted from 0, may be NaN.
pub(crate) struct Counted<S> {
    inner: S,
    poisoned: Option<usize>,
    /// Batches delivered; clones of the handle stay outside.
    pub(crate) batches: Rc<Cell<usize>>,
}

impl<S> Counted<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, poisoned: None, batches: Rc::default() }
    }

    pub(crate) fn poisoned(inner: S, batch: usize) -> Self {
        Self { poisoned: Some(batch), ..Self::new(inner) }
    }
}

impl<S: BatchSource> BatchSource for Counted<S> {
    fn next_batch(&mut self, size: usize) -> diffusion_core::Result<Batch> {
        let batch = self.inner.next_batch(size)?;
        let index = self.batches.replace(self.batches.get() + 1);
        if self.poisoned == Some(index) {
            return Ok(Batch { images: batch.images * f64::NAN, ..batch });
        }
        Ok(batch)
    }

    fn state(&self) -> State {
        self.inner.state()
    }

    fn restore(&mut self, state: &State) -> diffusion_core::Result<()> {
        self.inner.restore(state)
    }
}

/// What is wrong with the image at [`Odd::INDEX`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Size,
    Channels,
    Label,
}

/// Pictures of which one is odd.
pub(crate) struct Odd {
    shapes: Shapes,
    fault: Fault,
}

impl Odd {
    pub(crate) const INDEX: usize = 7;

    pub(crate) fn new(size: u32, fault: Fault) -> Self {
        Self { shapes: Shapes::new(size, 20, 0), fault }
    }
}

impl ImageSource for Odd {
    fn info(&self) -> &Info {
        self.shapes.info()
    }

    fn image(&self, index: usize) -> datasets::Result<Image> {
        let image = self.shapes.image(index)?;
        Ok(match self.fault {
            Fault::Size if index == Self::INDEX => image.resize(image.width / 2),
            Fault::Channels if index == Self::INDEX => {
                let pixels = (image.height * image.width) as usize;
                Image { channels: 1, data: image.data[..pixels].to_vec(), ..image }
            }
            _ => image,
        })
    }

    fn label(&self, index: usize) -> Option<i64> {
        match self.fault {
            Fault::Label if index == Self::INDEX => Some(self.classes() as i64),
            _ => self.shapes.label(index),
        }
    }
}
