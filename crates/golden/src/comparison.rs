//! The comparison rule.

use crate::{Error, Replayed, Result};
use std::cmp::Ordering;
use std::fmt;
use tch::{Kind, Tensor};
use testkit::{GoldenCase, max_relative_error};

/// Results that need not be replayed: the official code computed them in `f32` where the case is about `f64` values.
const EXEMPT_ENDINGS: [&str; 1] = ["_f32"];

/// One tensor against its reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The tensor's name.
    pub tensor: String,
    /// `max |a - b| / max |b|`; infinite if the shapes differ or anything is not finite.
    pub error: f64,
    /// The largest error that counts as equal; 0 for integers.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the tensor counts as equal.
    pub fn is_ok(&self) -> bool {
        self.error <= self.tolerance
    }

    fn new(name: &str, found: &Tensor, reference: &Tensor, tolerance: f64) -> Self {
        let is_exact = !reference.is_floating_point();
        let tolerance = if is_exact { 0.0 } else { tolerance };
        let error = if is_exact && found.size() == reference.size() {
            let different =
                found.to_kind(Kind::Int64).not_equal_tensor(&reference.to_kind(Kind::Int64));
            different.to_kind(Kind::Double).sum(Kind::Double).double_value(&[])
        } else {
            max_relative_error(found, reference)
        };
        Self { tensor: name.into(), error, tolerance }
    }

    /// Failures are worse than successes, larger errors worse than smaller ones.
    fn badness(&self, other: &Self) -> Ordering {
        self.is_ok().cmp(&other.is_ok()).reverse().then(self.error.total_cmp(&other.error))
    }
}

impl fmt::Display for Comparison {
    /// `tensor error tolerance`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, error, tolerance } = self;
        write!(f, "{tensor} {error:.1e} {tolerance:e}")
    }
}

/// Compares everything that was replayed with the file, and returns the worst tensor.
///
/// Every result `out.*` of the file must have been replayed; intermediate values `mid.*` are compared where the replay
/// has them; replayed values that the file does not hold are of no interest.
///
/// # Errors
/// [`Error::NotReplayed`], [`Error::NoResults`], or a case without a tolerance.
pub(crate) fn worst(case: &GoldenCase, replayed: &Replayed) -> Result<Comparison> {
    let tolerance = case.tolerance()?;
    if let Some(name) = case.outputs().find(|name| !is_exempt(name) && replayed.get(name).is_none())
    {
        return Err(Error::NotReplayed(name.into()));
    }
    case.tensors
        .iter()
        .filter_map(|(name, reference)| Some((name, replayed.get(name)?, reference)))
        .map(|(name, found, reference)| Comparison::new(name, found, reference, tolerance))
        .max_by(Comparison::badness)
        .ok_or(Error::NoResults)
}

fn is_exempt(name: &str) -> bool {
    EXEMPT_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_must_be_equal() {
        let reference = Tensor::from_slice(&[1_000_000_007i64, 5]);
        let compare =
            |found: &[i64]| Comparison::new("out.n", &Tensor::from_slice(found), &reference, 1e-3);
        assert!(compare(&[1_000_000_007, 5]).is_ok());
        assert!(!compare(&[1_000_000_008, 5]).is_ok());
        assert!(!compare(&[1_000_000_007, 5, 6]).is_ok());
        let floats = Tensor::from_slice(&[1_000_000_007f64, 5.5]);
        assert!(Comparison::new("out.n", &floats.round(), &reference, 0.0).error > 0.0);
    }

    #[test]
    fn a_failure_is_worse_than_a_larger_error_within_its_tolerance() {
        let of = |error, tolerance| Comparison { tensor: "out.x".into(), error, tolerance };
        assert_eq!(of(1.0, 0.0).badness(&of(2.0, 3.0)), Ordering::Greater);
        assert_eq!(of(1e-7, 1e-6).badness(&of(2e-7, 1e-6)), Ordering::Less);
        assert!(!of(f64::NAN, 1.0).is_ok());
    }
}
