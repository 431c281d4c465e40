//! Checks that configurations share.

use crate::{Error, Result};

/// The limits are far beyond any useful network; upper ones keep products within 64 bits.
pub(crate) fn in_range(field: &'static str, value: i64, minimum: i64, maximum: i64) -> Result<()> {
    if (minimum..=maximum).contains(&value) {
        Ok(())
    } else {
        Err(Error::OutOfRange { field, value, minimum, maximum })
    }
}

/// A probability of dropping something; 1 would leave nothing.
pub(crate) fn probability(field: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(Error::BadProbability { field, value }) }
}
