//! The comparison rule.

use crate::{Error, Replayed, Result};
use std::cmp::Ordering;
use std::fmt;
use tch::{Kind, Tensor};
use testkit::{GoldenCase, max_relative_error};

/// Results that need not be replayed: the official code computed them in `f32` where the case is about `f64` values.
const EXEMPT_ENDINGS: [&str; 1] = ["_f32"];

/// How far a replayed tensor may be from the file's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Of `max |a - b| / max |b|`.
    Relative(f64),
    /// Of `max |a - b|`.
    Absolute(f64),
}

/// One tensor against its reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The tensor's name.
    pub tensor: String,
    /// `max |a - b| / max |b|`, or `max |a - b|` where the family judges so; infinite if the shapes differ or anything is
    /// not finite.
    pub error: f64,
    /// The largest error that counts as equal; 0 for integers.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the tensor counts as equal.
    pub fn is_ok(&self) -> bool {
        self.error <= self.tolerance
    }

    fn new(name: &str, found: &Tensor, reference: &Tensor, tolerance: Tolerance) -> Self {
        let is_exact = !reference.is_floating_point();
        let error = if is_exact && found.size() == reference.size() {
            let different =
                found.to_kind(Kind::Int64).not_equal_tensor(&reference.to_kind(Kind::Int64));
            different.to_kind(Kind::Double).sum(Kind::Double).double_value(&[])
        } else {
            match tolerance {
                Tolerance::Relative(_) => max_relative_error(found, reference),
                Tolerance::Absolute(_) => max_error(found, reference),
            }
        };
        let tolerance = match tolerance {
            _ if is_exact => 0.0,
            Tolerance::Relative(limit) | Tolerance::Absolute(limit) => limit,
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
/// Every result of the file must have been replayed: every `out.*`, or, if the replay [took tensors as
/// given](Replayed::given), every other. Intermediate values `mid.*` are compared where the replay has them;
/// replayed values that the file does not hold are of no interest.
///
/// # Errors
/// [`Error::NotReplayed`], [`Error::NoResults`], or a case without a tolerance.
pub(crate) fn worst(case: &GoldenCase, replayed: &Replayed) -> Result<Comparison> {
    let is_missing =
        |name: &&str| replayed.is_result(name) && !is_exempt(name) && replayed.get(name).is_none();
    if let Some(name) = case.tensors.keys().map(String::as_str).find(is_missing) {
        return Err(Error::NotReplayed(name.into()));
    }
    let compare = |name: &str, found: &Tensor, reference: &Tensor| {
        let of_case = || case.tolerance().map(Tolerance::Relative);
        let tolerance = replayed.tolerance(name).map_or_else(of_case, Ok)?;
        Ok(Comparison::new(name, found, reference, tolerance))
    };
    let comparisons = case.tensors.iter().filter_map(|(name, reference)| {
        replayed.get(name).map(|found| compare(name, found, reference))
    });
    let comparisons = comparisons.collect::<Result<Vec<Comparison>>>()?;
    comparisons.into_iter().max_by(Comparison::badness).ok_or(Error::NoResults)
}

/// `max |a - b|`; infinite if the shapes differ or anything is NaN or infinite.
fn max_error(a: &Tensor, b: &Tensor) -> f64 {
    if a.size() != b.size() || a.numel() == 0 {
        return if a.size() == b.size() { 0.0 } else { f64::INFINITY };
    }
    let error = (a.to_kind(Kind::Double) - b).abs().max().double_value(&[]);
    if error.is_nan() { f64::INFINITY } else { error }
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
        let compare = |found: &[i64]| {
            let found = Tensor::from_slice(found);
            Comparison::new("out.n", &found, &reference, Tolerance::Relative(1e-3))
        };
        assert!(compare(&[1_000_000_007, 5]).is_ok());
        assert!(!compare(&[1_000_000_008, 5]).is_ok());
        assert!(!compare(&[1_000_000_007, 5, 6]).is_ok());
        let floats = Tensor::from_slice(&[1_000_000_007f64, 5.5]);
        let exact = Tolerance::Relative(0.0);
        assert!(Comparison::new("out.n", &floats.round(), &reference, exact).error > 0.0);
    }

    #[test]
    fn an_absolute_tolerance_does_not_scale() {
        let reference = Tensor::from_slice(&[100.0, 0.0]);
        let compare =
            |found: &Tensor, tolerance| Comparison::new("x", found, &reference, tolerance);
        let found = Tensor::from_slice(&[99.0, 0.5]);
        assert!(compare(&found, Tolerance::Relative(0.02)).is_ok());
        let absolute = compare(&found, Tolerance::Absolute(0.02));
        assert!(!absolute.is_ok() && absolute.error == 1.0);
        let loose = Tolerance::Absolute(1e9);
        assert!(compare(&found, loose).is_ok());
        assert!(!compare(&(&found * f64::NAN), loose).is_ok());
        assert!(!compare(&found.view([2, 1]), loose).is_ok());
    }

    #[test]
    fn a_failure_is_worse_than_a_larger_error_within_its_tolerance() {
        let of = |error, tolerance| Comparison { tensor: "out.x".into(), error, tolerance };
        assert_eq!(of(1.0, 0.0).badness(&of(2.0, 3.0)), Ordering::Greater);
        assert_eq!(of(1e-7, 1e-6).badness(&of(2e-7, 1e-6)), Ordering::Less);
        assert!(!of(f64::NAN, 1.0).is_ok());
    }
}
