//! Both sides of a row in turn: a burst of ours, a burst of PyTorch's, and again.

use crate::protocol::{Configuration, Job, Memory, Request};
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

/// A process of our side with a prepared job, and a name for the report.
pub(crate) fn prepared(mut side: Side, job: &Job) -> Result<Side> {
    side.ask::<serde_json::Value>(&Request::Prepare { job: job.clone() })?;
    Ok(side)
}

/// Measures `ours`, which is prepared, against a new process of the twin.
pub(crate) fn fight(
    launcher: &Launcher,
    threads: usize,
    ours: &mut Side,
    (job, configuration): (&Job, Configuration),
    effort: Effort,
) -> Result<Duel> {
    let mut twin = launcher.twin(threads)?;
    twin.ask::<serde_json::Value>(&Request::Hello { threads })?;
    let job = Job { configuration, ..job.clone() };
    let mut twin = prepared(twin, &job)?;
    let iterations = [warm_up(ours, effort)?, warm_up(&mut twin, effort)?];
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        our_times.extend(ours.run(iterations[0])?);
        their_times.extend(twin.run(iterations[1])?);
    }
    Ok(Duel {
        configuration: configuration.name(job.kind),
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
