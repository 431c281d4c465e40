//! What a covariance is divided by.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The divisor of a covariance of `N` vectors.
///
/// The two differ by one part in `N`: invisible in a value of 50,000 images, decisive for agreement to the last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divisor {
    /// `N - 1`: EDM, pytorch-fid, clean-fid, torch-fidelity, dgm-eval, `numpy.cov`.
    #[default]
    Sample,
    /// `N`: the StyleGAN line.
    Population,
}

impl Divisor {
    /// The fewest vectors that have a covariance.
    pub fn least(self) -> i64 {
        match self {
            Self::Sample => 2,
            Self::Population => 1,
        }
    }
}

impl fmt::Display for Divisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sample => "N - 1",
            Self::Population => "N",
        })
    }
}
