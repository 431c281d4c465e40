//! Checks that configurations share.

use crate::{Error, Result};
use tch::Tensor;

/// The most residual blocks a level may have; even the outline of a network takes memory for the names of its layers.
pub(crate) const MAX_BLOCKS: i64 = 1 << 7;

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

/// The taps of a filter that halves and doubles: pairs of them, so that pixels stay where they are, and a sum to divide by.
pub(crate) fn resample_filter(taps: &[i64]) -> Result<()> {
    let is_even = (2..=16).contains(&taps.len()) && taps.len().is_multiple_of(2);
    let is_bounded = taps.iter().all(|tap| (-(1 << 16)..=1 << 16).contains(tap));
    if is_even && is_bounded && taps.iter().sum::<i64>() > 0 {
        Ok(())
    } else {
        Err(Error::BadFilter { taps: taps.to_vec() })
    }
}

/// Panics if `x` is not `[B, channels, resolution, resolution]`.
pub(crate) fn assert_image(x: &Tensor, channels: i64, resolution: i64) {
    let found = x.size();
    assert!(
        found.len() == 4 && found[1..] == [channels, resolution, resolution],
        "`x` has shape {found:?}; this network needs [B, {channels}, {resolution}, {resolution}]"
    );
}

/// A number that another one, described by `by`, has to divide.
pub(crate) fn multiple_of(
    field: &'static str,
    value: i64,
    by: &'static str,
    divisor: i64,
) -> Result<()> {
    match value % divisor {
        0 => Ok(()),
        _ => Err(Error::Indivisible { field, value, by, divisor }),
    }
}
