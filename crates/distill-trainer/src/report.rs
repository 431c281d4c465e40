//! What observers see of the student.

use crate::observer::{Flow, Observer, Tick};
use crate::trainer::averaged;
use crate::{DistillMethod, Result, Trainer};
use diffusion_core::Generator;
use std::collections::BTreeMap;

impl<M: DistillMethod> Trainer<M> {
    /// Has the averaged student measured, and shows it and the values to the observers.
    pub(crate) fn report(&mut self, tick: &mut Tick) -> Result<Flow> {
        if self.observers.is_empty() {
            return Ok(Flow::Continue);
        }
        let _averages = averaged(&self.players);
        let student = self.method.student();
        tick.metrics = measured(&mut self.observers, tick, &*student);
        let mut flow = Flow::Continue;
        for observer in &mut self.observers {
            if observer.on_tick(tick, &*student)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }
}

/// Everything that the observers measure; what they could not measure is told to all of them.
fn measured(
    observers: &mut [Box<dyn Observer>],
    tick: &Tick,
    student: &dyn Generator,
) -> BTreeMap<String, f64> {
    let (mut metrics, mut notices) = (BTreeMap::new(), Vec::new());
    for observer in &mut *observers {
        match observer.measure(tick, student) {
            Ok(values) => metrics.extend(values),
            Err(error) => notices.push(format!("not measured: {error}")),
        }
    }
    metrics.retain(|name, value| {
        if !value.is_finite() {
            notices.push(format!("not measured: `{name}` is {value}"));
        }
        value.is_finite()
    });
    for notice in notices {
        let text = format!("at {:.1} kimg {notice}", tick.progress.kimg());
        observers.iter_mut().for_each(|observer| observer.on_notice(&text));
    }
    metrics
}
