//! From values to places on a line, and the marks beside it.

use crate::format;

/// An axis from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    pub(crate) log: bool,
}

impl Axis {
    /// An axis that holds all `values`, with some air; logarithmic where all are positive and the highest is more than
    /// `log_beyond` times the lowest.
    pub(crate) fn around(values: impl Iterator<Item = f64> + Clone, log_beyond: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if low > 0.0 && high / low > log_beyond {
            return Self { low: low / 1.2, high: high * 1.2, log: true };
        }
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let least = if low < high { 0.0 } else { low.abs().max(1e-9) * 0.1 };
        let air = ((high - low) * 0.06).max(least).max(low.abs().max(high.abs()) * 1e-6);
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self { low: (low - air).max(floor), high: high + air, log: false }
    }

    /// From 0 to `end`.
    pub(crate) fn up_to(end: f64) -> Self {
        Self { low: 0.0, high: end.max(1e-3), log: false }
    }

    /// The place of a value.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// About `n` round values with their places and texts.
    pub(crate) fn marks(&self, n: usize) -> Vec<(f64, String)> {
        let marks = if self.log { self.decades(n) } else { self.round_values(n) };
        marks.into_iter().map(|(value, text)| (self.place(value), text)).collect()
    }

    fn round_values(&self, n: usize) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / n as f64;
        let unit = 10f64.powf(rough.log10().floor());
        let factors = [1.0, 2.0, 5.0, 10.0];
        let step = unit * factors.into_iter().find(|f| f * unit >= rough).unwrap_or(10.0);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        let value = |i: i64| i as f64 * step;
        (first..=last).map(|i| (value(i), format::mark(value(i), step))).collect()
    }

    /// Powers of ten; of a short axis also twice and five times them.
    fn decades(&self, n: usize) -> Vec<(f64, String)> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().floor() as i32);
        let decades = (last - first).unsigned_abs() as usize;
        let factors: &[f64] = if decades <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers =
            (first..=last).rev().step_by(decades.div_ceil(n).max(1)).map(|e| 10f64.powi(e));
        let values = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
        let inside = values.filter(|value| (self.low..=self.high).contains(value));
        inside.map(|value| (value, format::number(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, n: usize) -> Vec<String> {
        axis.marks(n).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(texts(&Axis::up_to(12.0), 6), ["0", "2", "4", "6", "8", "10", "12"]);
        assert_eq!(texts(&Axis::up_to(0.9), 4), ["0.0", "0.5"].map(|t| t.replace("0.0", "0")));
        let axis = Axis::around([0.01, 30.0].into_iter(), 100.0);
        assert!(axis.log);
        assert_eq!(texts(&axis, 5), ["10", "1", "0.1", "0.01"]);
        let axis = Axis::around([900.0, 11_000.0].into_iter(), 10.0);
        assert_eq!(texts(&axis, 5), ["10000", "1000", "2000", "5000"]);
        assert!(!Axis::around([900.0, 11_000.0].into_iter(), 100.0).log);
    }

    #[test]
    fn everything_lies_on_the_axis() {
        let cases: [&[f64]; 6] =
            [&[1.0], &[0.0, 0.0], &[-5.0, 5.0], &[1e-9, 1e9], &[3e38, -3e38], &[1e-4, 1.1e-4]];
        for values in cases {
            let axis = Axis::around(values.iter().copied(), 100.0);
            for &value in values {
                assert!((0.0..=1.0).contains(&axis.place(value)), "{values:?}");
            }
            let marks = axis.marks(5);
            assert!((1..12).contains(&marks.len()), "{values:?}: {marks:?}");
            assert!(marks.iter().all(|(place, _)| (0.0..=1.0).contains(place)), "{marks:?}");
        }
    }

    #[test]
    fn no_values_are_an_axis_too() {
        assert!((0.0..1.0).contains(&Axis::around(std::iter::empty(), 100.0).place(0.5)));
    }
}
