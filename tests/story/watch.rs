//! Observers that remember, and that act.

use fewstep::distill_trainer::{Flow, Observer, Progress, Result, Tick};
use fewstep::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Remembers every report; clones share what they remember.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Rc<RefCell<Vec<Tick>>>);

/// The step of a report, and the bits of its terms.
pub(crate) type Bits = (u64, BTreeMap<String, u64>);

impl Recorder {
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        self.0.borrow().clone()
    }

    /// One scalar, report by report.
    pub(crate) fn term(&self, name: &str) -> Vec<f64> {
        self.ticks().iter().map(|tick| tick.scalars()[name]).collect()
    }

    /// Every term of every report, bit for bit.
    pub(crate) fn bits(&self) -> Vec<Bits> {
        let bits = |tick: Tick| {
            let terms = tick.terms.into_iter().map(|(name, value)| (name, value.to_bits()));
            (tick.progress.step, terms.collect())
        };
        self.ticks().into_iter().map(bits).collect()
    }
}

impl Observer for Recorder {
    fn on_tick(&mut self, tick: &Tick, _student: &dyn Generator) -> Result<Flow> {
        self.0.borrow_mut().push(tick.clone());
        Ok(Flow::Continue)
    }
}

/// Does something after every step.
pub(crate) fn on_step<F: FnMut(Progress)>(act: F) -> impl Observer + use<F> {
    OnStep(act)
}

struct OnStep<F>(F);

impl<F: FnMut(Progress)> Observer for OnStep<F> {
    fn on_step(&mut self, progress: Progress) {
        (self.0)(progress);
    }
}

/// Does something at every report.
pub(crate) fn on_tick<F>(act: F) -> impl Observer + use<F>
where
    F: FnMut(&Tick, &dyn Generator) -> Result<Flow>,
{
    OnTick(act)
}

struct OnTick<F>(F);

impl<F: FnMut(&Tick, &dyn Generator) -> Result<Flow>> Observer for OnTick<F> {
    fn on_tick(&mut self, tick: &Tick, student: &dyn Generator) -> Result<Flow> {
        (self.0)(tick, student)
    }
}

/// Remembers notices; clones share what they remember.
#[derive(Clone, Default)]
pub(crate) struct Notices(Rc<RefCell<Vec<String>>>);

impl Notices {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

impl Observer for Notices {
    fn on_notice(&mut self, text: &str) {
        self.0.borrow_mut().push(text.into());
    }
}
