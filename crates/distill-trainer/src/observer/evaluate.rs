//! How good the student is, as it learns.

use super::MeasureError;
use crate::{Observer, Progress, Result, Tick};
use diffusion_core::{Generator, State};
use std::collections::BTreeMap;
use std::fmt;

/// Measures the averaged student while it is trained.
///
/// What is measured is up to a function from a generator to values by name; `metrics::Evaluation::run` is made for it. It
/// is called at the first tick, then at the first tick after every so many images, and at the last one. The values become
/// part of the report: consoles, logs and curves show them, and checkpoints are judged by them
/// ([`CheckpointFolder::keep_best`](crate::CheckpointFolder::keep_best)).
///
/// A function that draws from a [`Noise`](diffusion_core::Noise) of its own, the same at every call, measures the same
/// latents every time, and does not change what the run draws. Its error is a notice, not the end of the run.
///
/// In a distributed run the first process measures while the others wait, for no longer than their time-out
/// (`FEWSTEP_TIMEOUT_S`): a measurement must take less.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Noise};
/// use distill_trainer::observer::Evaluate;
/// let z = Noise::new(0).normal(&[64, 1, 28, 28]);
/// let spread = Evaluate::new(move |student| {
///     let images = student.generate(&z, &Cond::none(), &mut Noise::new(1));
///     Ok([("std".to_owned(), images.std(false).double_value(&[]))].into())
/// });
/// let observer = spread.every_kimg(10.0);
/// ```
pub struct Evaluate<F> {
    judge: F,
    every: u64,
    measured: Option<u64>,
}

impl<F> Evaluate<F>
where
    F: FnMut(&dyn Generator) -> Result<BTreeMap<String, f64>, MeasureError>,
{
    /// Measures with `judge`, at every tick.
    pub fn new(judge: F) -> Self {
        Self { judge, every: 1, measured: None }
    }

    /// The same every `kimg` thousand images only, at ticks.
    ///
    /// # Panics
    /// If that is less than one image.
    #[must_use]
    pub fn every_kimg(self, kimg: f64) -> Self {
        let every = (kimg * 1000.0).round();
        assert!(
            every >= 1.0,
            "a student can be measured every image or less often, not every {kimg} kimg"
        );
        Self { every: every as u64, ..self }
    }

    fn is_due(&self, Progress { images, .. }: Progress) -> bool {
        self.measured.is_none_or(|before| images / self.every > before / self.every)
    }
}

impl<F> Observer for Evaluate<F>
where
    F: FnMut(&dyn Generator) -> Result<BTreeMap<String, f64>, MeasureError>,
{
    fn measure(
        &mut self,
        tick: &Tick,
        student: &dyn Generator,
    ) -> Result<BTreeMap<String, f64>, MeasureError> {
        if !self.is_due(tick.progress) && !tick.last {
            return Ok(BTreeMap::new());
        }
        self.measured = Some(tick.progress.images); // also if it fails: not again at every tick
        (self.judge)(student)
    }

    fn key(&self) -> &str {
        "evaluate"
    }

    fn state(&self) -> State {
        let mut state = State::default();
        if let Some(images) = self.measured {
            state.set("measured", images);
        }
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let measured = state.values.contains_key("measured").then(|| state.get("measured"));
        self.measured = measured.transpose()?;
        Ok(())
    }
}

impl<F> fmt::Debug for Evaluate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluate")
            .field("every", &self.every)
            .field("measured", &self.measured)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::fixture::{Gray, tick};
    use std::cell::Cell;

    /// The evaluations among ticks at so many images.
    fn times(every_kimg: f64, images: &[u64], resume_after: Option<usize>) -> Vec<u64> {
        let make =
            || Evaluate::new(|_| Ok([("one".to_owned(), 1.0)].into())).every_kimg(every_kimg);
        let mut evaluate = make();
        let mut times = Vec::new();
        for (index, &images) in images.iter().enumerate() {
            if resume_after == Some(index) {
                let state = evaluate.state();
                evaluate = make();
                evaluate.restore(&state).unwrap();
            }
            if !evaluate.measure(&tick(images, &[]), &Gray).unwrap().is_empty() {
                times.push(images);
            }
        }
        times
    }

    #[test]
    fn the_first_the_due_and_the_last_ticks_are_measured() {
        let ticks = [3000, 6000, 9000, 12_000, 21_000, 24_000, 200_000];
        let expected = [3000, 12_000, 21_000, 200_000];
        assert_eq!(times(10.0, &ticks, None), expected);
        for resume_after in 0..ticks.len() {
            assert_eq!(times(10.0, &ticks, Some(resume_after)), expected, "{resume_after}");
        }
        assert_eq!(times(0.001, &ticks, None), ticks);
    }

    #[test]
    fn a_failure_is_not_repeated_at_every_tick() {
        let calls = Cell::new(0);
        let mut evaluate = Evaluate::new(|_| {
            calls.set(calls.get() + 1);
            Err("the images hold NaN".into())
        })
        .every_kimg(10.0);
        let error = evaluate.measure(&tick(1000, &[]), &Gray).unwrap_err();
        assert_eq!(error.to_string(), "the images hold NaN");
        assert!(evaluate.measure(&tick(2000, &[]), &Gray).unwrap().is_empty());
        assert_eq!(calls.get(), 1);
    }

    #[test]
    #[should_panic(expected = "not every 0 kimg")]
    fn an_interval_must_be_positive() {
        let _ = Evaluate::new(|_| Ok(BTreeMap::new())).every_kimg(0.0);
    }
}
