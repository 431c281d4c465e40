//! Curves as the coordinates of an SVG.

use crate::axis::Axis;
use crate::format;
use std::fmt::Write;

pub(crate) const WIDTH: f64 = 400.0;
pub(crate) const HEIGHT: f64 = 220.0;
pub(crate) const LEFT: f64 = 52.0;
pub(crate) const RIGHT: f64 = 392.0;
pub(crate) const TOP: f64 = 10.0;
pub(crate) const BOTTOM: f64 = 186.0;
/// More points than this are thinned: what is finer than a pixel cannot be seen.
const MAX_POINTS: usize = 600;
/// With more points than this, only some can be pointed at.
const MAX_HITS: usize = 150;
/// Curves are told apart by so many colors.
const COLORS: usize = 6;

/// A named curve over thousands of images; `None` where there was no finite value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// A mark on an axis.
pub(crate) struct Mark {
    pub(crate) at: f64,
    pub(crate) text: String,
}

/// A place that tells its value when it is pointed at.
pub(crate) struct Hit {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) text: String,
}

pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) color: usize,
    pub(crate) path: String,
    pub(crate) hits: Vec<Hit>,
    pub(crate) latest: String,
}

/// What the template draws.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) log: bool,
    pub(crate) x: Vec<Mark>,
    pub(crate) y: Vec<Mark>,
    pub(crate) lines: Vec<Line>,
    pub(crate) resumes: Vec<f64>,
}

/// What the height of a point tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Height {
    /// The value among the other ones; its order of magnitude, if they span more than two.
    Relative,
    /// The order of magnitude, if the values span more than one.
    Magnitude,
    /// The amount: the axis begins at 0.
    Amount,
}

impl Chart {
    /// A chart of curves with at least one finite value, else none.
    pub(crate) fn new(
        title: impl Into<String>,
        curves: &[Curve],
        resumes: &[f64],
        height: Height,
    ) -> Option<Self> {
        let finite = || curves.iter().flat_map(|curve| curve.points.iter().filter_map(finite));
        let end = finite().map(|(kimg, _)| kimg).reduce(f64::max)?;
        let zero = (height == Height::Amount).then_some(0.0);
        let values = finite().map(|(_, value)| value).chain(zero);
        let log_beyond = if height == Height::Magnitude { 10.0 } else { 100.0 };
        let (x, y) = (Axis::up_to(end), Axis::around(values, log_beyond));
        let lines = (0..).zip(curves).map(|(i, curve)| line(i % COLORS, curve, &x, &y));
        let resumes = resumes.iter().filter(|kimg| **kimg <= end).map(|kimg| across(&x, *kimg));
        let mark = |at, text| Mark { at, text };
        Some(Self {
            title: title.into(),
            log: y.log,
            x: x.marks(6)
                .into_iter()
                .map(|(at, text)| mark(LEFT + at * (RIGHT - LEFT), text))
                .collect(),
            y: y.marks(6)
                .into_iter()
                .map(|(at, text)| mark(BOTTOM - at * (BOTTOM - TOP), text))
                .collect(),
            lines: lines.collect(),
            resumes: resumes.collect(),
        })
    }
}

fn finite(&(kimg, value): &(f64, Option<f64>)) -> Option<(f64, f64)> {
    Some((kimg, value.filter(|value| value.is_finite())?))
}

fn across(x: &Axis, kimg: f64) -> f64 {
    LEFT + x.place(kimg) * (RIGHT - LEFT)
}

fn line(color: usize, curve: &Curve, x: &Axis, y: &Axis) -> Line {
    let points = thinned(&curve.points);
    let place =
        |(kimg, value): (f64, f64)| (across(x, kimg), BOTTOM - y.place(value) * (BOTTOM - TOP));
    let hit = |(kimg, value)| {
        let (x, y) = place((kimg, value));
        let text =
            format!("{}: {} at {} kimg", curve.name, format::number(value), format::number(kimg));
        Hit { x, y, text }
    };
    let path = path(points.iter().map(|point| finite(point).map(place)));
    let step = points.len().div_ceil(MAX_HITS).max(1);
    let hits = points.iter().rev().step_by(step).filter_map(finite).map(hit).collect();
    let latest = points.iter().rev().find_map(finite).map(|(_, value)| format::number(value));
    Line { name: curve.name.clone(), color, path, hits, latest: latest.unwrap_or_default() }
}

/// Lines between neighbors, interrupted where a value is missing; a lone value is a dot.
fn path(places: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let (mut path, mut drawing) = (String::new(), false);
    for place in places {
        if let Some((x, y)) = place {
            let command = if drawing { "L" } else { "M" };
            let dot = if drawing { "" } else { "h0" };
            let written = write!(path, "{command}{x:.1} {y:.1}{dot}");
            written.expect("a string takes any text");
        }
        drawing = place.is_some();
    }
    path
}

/// Of every stretch of points the lowest and the highest, so that no spike is lost, and the last one of all.
fn thinned(points: &[(f64, Option<f64>)]) -> Vec<(f64, Option<f64>)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let stretch = 2 * points.len().div_ceil(MAX_POINTS);
    let order = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
    let mut kept = Vec::new();
    for part in points.chunks(stretch) {
        let part: Vec<_> = part.iter().filter_map(finite).collect();
        let extremes = [part.iter().min_by(order), part.iter().max_by(order)];
        kept.extend(extremes.into_iter().flatten());
    }
    kept.extend(points.last().and_then(finite));
    kept.sort_by(|a, b| a.0.total_cmp(&b.0));
    kept.dedup();
    kept.into_iter().map(|(kimg, value)| (kimg, Some(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Curve {
        let points = (0..).zip(values).map(|(i, value)| (f64::from(i), Some(*value)));
        Curve { name: "loss".into(), points: points.collect() }
    }

    fn chart(values: &[f64]) -> Chart {
        Chart::new("loss", &[curve(values)], &[1.0, 99.0], Height::Relative).unwrap()
    }

    #[test]
    fn lines_go_from_the_left_to_the_right() {
        let chart = chart(&[1.0, 3.0, 2.0]);
        assert_eq!(chart.lines[0].path.matches('L').count(), 2);
        assert!(chart.lines[0].path.starts_with(&format!("M{LEFT:.1} ")));
        let hits: Vec<f64> = chart.lines[0].hits.iter().map(|hit| hit.x).collect();
        assert_eq!(hits, [RIGHT, (LEFT + RIGHT) / 2.0, LEFT]);
        let y: Vec<f64> = chart.lines[0].hits.iter().map(|hit| hit.y).collect();
        assert!(y[2] > y[0] && y[0] > y[1], "1 lies below 2, which lies below 3");
        assert_eq!(chart.lines[0].hits[1].text, "loss: 3 at 1 kimg");
        assert_eq!(chart.lines[0].latest, "2");
        assert_eq!(chart.resumes, [(LEFT + RIGHT) / 2.0]); // the other one lies beyond the end
    }

    #[test]
    fn amounts_begin_at_zero() {
        let chart = |height| Chart::new("memory", &[curve(&[4.0, 5.0])], &[], height).unwrap();
        let lowest = |chart: Chart| chart.y[0].text.clone();
        assert_eq!(lowest(chart(Height::Amount)), "0");
        assert_eq!(lowest(chart(Height::Relative)), "4.0");
    }

    #[test]
    fn a_missing_value_interrupts_the_line() {
        let chart = chart(&[1.0, f64::NAN, 3.0, 4.0]);
        assert_eq!(chart.lines[0].path.matches('M').count(), 2);
        assert_eq!(chart.lines[0].path.matches('L').count(), 1);
        assert_eq!(chart.lines[0].hits.len(), 3);
    }

    #[test]
    fn without_values_there_is_no_chart() {
        assert!(Chart::new("a", &[curve(&[])], &[], Height::Relative).is_none());
        assert!(Chart::new("a", &[curve(&[f64::NAN])], &[], Height::Relative).is_none());
    }

    #[test]
    fn long_curves_keep_their_spikes() {
        let mut values = vec![1.0; 50_000];
        (values[20_001], values[49_999]) = (9.0, 2.0);
        let points = thinned(&curve(&values).points);
        assert!(points.len() <= 2 * MAX_POINTS, "{}", points.len());
        assert!(points.contains(&(20_001.0, Some(9.0))));
        assert_eq!(points.last(), Some(&(49_999.0, Some(2.0))));
        assert!(chart(&values).lines[0].hits.len() <= MAX_HITS);
    }
}
