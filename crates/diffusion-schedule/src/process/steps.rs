//! The number of steps of a process, bounded: tables of that length are computed from it.

use crate::{Error, Result};
use serde::{Deserialize, Deserializer};

/// The largest number of steps; published processes have 1000 or 4000.
pub(crate) const MAX_STEPS: usize = 100_000;

/// Refuses numbers of steps outside of `least` to [`MAX_STEPS`].
pub(crate) fn check_steps(steps: usize, least: usize) -> Result<()> {
    if (least..=MAX_STEPS).contains(&steps) {
        return Ok(());
    }
    Err(Error::ProcessSteps { steps, least, limit: MAX_STEPS })
}

/// Reads a number of steps and refuses what no table should be computed for.
pub(crate) fn bounded_steps<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let steps = usize::deserialize(from)?;
    check_steps(steps, 1).map_err(serde::de::Error::custom)?;
    Ok(steps)
}
