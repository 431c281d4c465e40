//! Durations and what is said of them.

use serde::Serialize;

/// Durations of iterations, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Samples {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) count: usize,
}

impl Samples {
    /// # Panics
    /// If there are none.
    pub(crate) fn of(mut seconds: Vec<f64>) -> Self {
        assert!(!seconds.is_empty(), "there is no median of nothing");
        seconds.sort_by(f64::total_cmp);
        let count = seconds.len();
        let median = f64::midpoint(seconds[(count - 1) / 2], seconds[count / 2]);
        Self { median, min: seconds[0], count }
    }
}
