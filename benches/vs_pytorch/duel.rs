//! Both sides of a row in turn: a burst of ours, a burst of PyTorch's, and again.

use crate::protocol::{Job, Memory, Request};
use crate::samples::Samples;
use crate::side::{Launcher, Side};
use anyhow::Result;
use serde::Serialize;

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Bursts of each side.
    pub(crate) rounds: u64,
    /// The least duration of a burst, in seconds.
    pub(crate) burst_s: f64,
}

/// What was measured of one way to use PyTorch and of fewstep beside it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Duel {
    pub(crate) configuration: String,
    pub(crate) ours: Samples,
    pub(crate) theirs: Samples,
    #[serde(skip)]
    pub(crate) our_memory: Memory,
    pub(crate) their_memory: Memory,
}

impl Duel {
    /// How many times as long PyTorch takes, by medians.
    pub(crate) fn ratio(&self) -> f64 {
        self.theirs.median / self.ours.median
    }
}

/// A process with a prepared job.
fn prepared(mut side: Side, job: &Job) -> Result<Side> {
    side.ask::<serde_json::Value>(&Request::Prepare { job: job.clone() })?;
    Ok(side)
}

/// Measures our job in a new process against a configuration of the twin in another.
///
/// Ours starts when the twin is warm: compiling takes minutes, after which a process that waited would not be warm.
pub(crate) fn fight(
    launcher: &Launcher,
    threads: usize,
    (ours, theirs): (&Job, &Job),
    effort: Effort,
) -> Result<Duel> {
    let mut twin = launcher.twin(threads)?;
    twin.ask::<serde_json::Value>(&Request::Hello { threads })?;
    let mut twin = prepared(twin, theirs)?;
    let their_iterations = warm_up(&mut twin, effort)?;
    let mut ours = prepared(launcher.ours(threads)?, ours)?;
    let iterations = [warm_up(&mut ours, effort)?, their_iterations];
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        our_times.extend(ours.run(iterations[0])?);
        their_times.extend(twin.run(iterations[1])?);
    }
    Ok(Duel {
        configuration: theirs.configuration.name(theirs.kind),
        ours: Samples::of(our_times),
        theirs: Samples::of(their_times),
        our_memory: ours.memory()?,
        their_memory: twin.memory()?,
    })
}

/// Runs the job until it is warm; returns how many iterations make a burst.
fn warm_up(side: &mut Side, effort: Effort) -> Result<u64> {
    // The first two iterations compile, allocate, and see gradients as `None`.
    side.run(2)?;
    let once = side.run(1)?[0];
    Ok((effort.burst_s / once).ceil().clamp(1.0, 1e4) as u64)
}
