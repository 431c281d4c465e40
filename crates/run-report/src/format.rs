//! Numbers, durations and dates for people.

use jiff::Timestamp;

/// Four significant digits at most, without trailing zeros.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-3..1e5).contains(&magnitude) {
        return scientific(value);
    }
    let before = magnitude.log10().floor() as i32;
    let after = (3 - before).clamp(0, 6) as usize;
    trimmed(&format!("{value:.after$}")).into()
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", trimmed(mantissa))
}

fn trimmed(number: &str) -> &str {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.')
}

/// A tick mark on an axis whose marks are `step` apart.
pub(crate) fn mark(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&step) {
        return scientific(value);
    }
    let decimals = (-step.log10() + 1e-9).ceil().clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// So many things.
pub(crate) fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    match whole {
        0..10 => format!("{} s", number((seconds.max(0.0) * 10.0).round() / 10.0)),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min {:02} s", whole % 60),
        _ => format!("{hours} h {minutes:02} min"),
    }
}

pub(crate) fn bytes(bytes: f64) -> String {
    let (unit, name) = match bytes {
        b if b >= f64::from(1 << 30) => (f64::from(1 << 30), "GiB"),
        _ => (f64::from(1 << 20), "MiB"),
    };
    format!("{} {name}", number((bytes / unit * 100.0).round() / 100.0))
}

/// Seconds since 1970 as a date and a time in UTC.
pub(crate) fn date(unix_s: i64) -> Option<String> {
    let date = Timestamp::from_second(unix_s).ok()?;
    Some(date.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let values = [0.0, 0.5, 0.012_345, -12.345, 1234.4, 99_999.6, 1e-7, 2.51e9, 1e5];
        let texts = ["0", "0.5", "0.01235", "-12.35", "1234", "100000", "1e-7", "2.51e9", "1e5"];
        assert_eq!(values.map(number), texts);
        assert_eq!(number(f64::NAN), "NaN");
    }

    #[test]
    fn marks_have_the_digits_of_their_step() {
        assert_eq!([0.0, 0.5, 1.0].map(|value| mark(value, 0.5)), ["0", "0.5", "1.0"]);
        assert_eq!([20.0, 1250.0].map(|value| mark(value, 10.0)), ["20", "1250"]);
        assert_eq!([0.002, 0.01].map(|value| mark(value, 0.002)), ["0.002", "0.010"]);
        assert_eq!([5e-4, 1e-3, 1.5e-3].map(|value| mark(value, 5e-4)), ["5e-4", "1e-3", "1.5e-3"]);
        assert_eq!(mark(3e6, 1e6), "3e6");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let texts = [0.25, 36.48, 61.0, 3599.0, 3600.0, 100_000.0].map(duration);
        let expected = ["0.3 s", "36 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "27 h 46 min"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn sizes_counts_and_dates() {
        assert_eq!([0, 1, 2].map(|n| count(n, "turn")), ["0 turns", "1 turn", "2 turns"]);
        assert_eq!(bytes(1.5 * 1024.0 * 1024.0 * 1024.0), "1.5 GiB");
        assert_eq!(bytes(300.0 * 1024.0 * 1024.0), "300 MiB");
        assert_eq!(date(1_763_726_545).unwrap(), "2025-11-21 12:02 UTC");
        assert_eq!(date(i64::MAX), None);
    }
}
