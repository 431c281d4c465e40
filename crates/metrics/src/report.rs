//! What an evaluation found, and a table of it.

use crate::{Latency, MetricInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The values of one sampler.
///
/// # Example
/// See [`Evaluation`](crate::Evaluation).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name it goes by.
    pub sampler: String,
    /// Network evaluations for one image; `None` for real images.
    pub nfe: Option<usize>,
    /// Number of images that were measured.
    pub n_images: i64,
    /// How long they took; `None` for real images.
    pub latency: Option<Latency>,
    /// The values of the metrics, each with its recipe.
    pub measurements: Vec<Measurement>,
}

/// A value and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What it is.
    pub info: MetricInfo,
    /// The value.
    pub value: f64,
}

impl Report {
    /// The value of the metric with that [label](MetricInfo::label), such as `SW1`.
    pub fn value(&self, label: &str) -> Option<f64> {
        self.measurements.iter().find(|m| m.info.label == label).map(|m| m.value)
    }

    /// The values of all metrics by their labels; of several with one label the last.
    pub fn values(&self) -> BTreeMap<String, f64> {
        self.measurements.iter().map(|m| (m.info.label.clone(), m.value)).collect()
    }

    /// Milliseconds for one image; `None` for real images.
    pub fn ms_per_image(&self) -> Option<f64> {
        self.latency.as_ref().map(|latency| latency.per_image_ms)
    }
}

/// A table of reports in plain text: a line a report, a column a metric, the recipes below.
///
/// Metrics with the same label and different recipes get a column each, numbered: such values are not comparable.
///
/// # Example
/// ```text
/// sampler             NFE  images  ms/image  random-FD     SW1
/// real (held out)       -     512         -     0.0113  0.0305
/// teacher, 35 NFE      35     512     41.20     0.0240  0.0394
/// student               1     512      1.23     0.0951  0.0588
/// ```
pub fn table(reports: &[Report]) -> String {
    let columns = columns(reports);
    let mut head: Vec<String> = ["sampler", "NFE", "images", "ms/image"].map(String::from).into();
    head.extend(columns.iter().map(|(heading, _)| heading.clone()));
    let mut rows = vec![head];
    rows.extend(reports.iter().map(|report| row(report, &columns)));
    let mut text = aligned(&rows);
    for (heading, info) in &columns {
        let MetricInfo { name, unit, direction, recipe, .. } = info;
        writeln!(text, "\n{heading}: {name} ({unit}; {direction}).\n  {recipe}.")
            .expect("a string takes any text");
    }
    text
}

/// Every distinct metric of the reports, in order of appearance, with its heading.
fn columns(reports: &[Report]) -> Vec<(String, &MetricInfo)> {
    let mut columns: Vec<(String, &MetricInfo)> = Vec::new();
    for info in reports.iter().flat_map(|report| &report.measurements).map(|m| &m.info) {
        if columns.iter().any(|(_, known)| *known == info) {
            continue;
        }
        let namesakes = columns.iter().filter(|(_, known)| known.label == info.label).count();
        let heading = match namesakes {
            0 => info.label.clone(),
            n => format!("{} [{}]", info.label, n + 1),
        };
        columns.push((heading, info));
    }
    columns
}

fn row(report: &Report, columns: &[(String, &MetricInfo)]) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let mut row = vec![
        report.sampler.clone(),
        or_dash(report.nfe.map(|nfe| nfe.to_string())),
        report.n_images.to_string(),
        or_dash(report.ms_per_image().map(|ms| format!("{ms:.2}"))),
    ];
    row.extend(columns.iter().map(|(_, info)| {
        let found = report.measurements.iter().find(|m| m.info == **info);
        or_dash(found.map(|m| format!("{:.4}", m.value)))
    }));
    row
}

/// Pads every cell to its column: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).filter_map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let written = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
            written.expect("a string takes any text");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    fn measurement(label: &str, recipe: &str, value: f64) -> Measurement {
        let info = MetricInfo {
            name: format!("{label} distance"),
            label: label.into(),
            unit: "pixel".into(),
            direction: Direction::LowerIsBetter,
            recipe: recipe.into(),
        };
        Measurement { info, value }
    }

    fn report(sampler: &str, nfe: Option<usize>, measurements: Vec<Measurement>) -> Report {
        Report { sampler: sampler.into(), nfe, n_images: 64, latency: None, measurements }
    }

    #[test]
    fn columns_line_up_and_recipes_follow_once() {
        let text = table(&[
            report("real", None, vec![measurement("SW1", "r", 0.03)]),
            report("student of Fréchet", Some(1), vec![measurement("SW1", "r", 12.5)]),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "sampler             NFE  images  ms/image      SW1");
        assert_eq!(lines[1], "real                  -      64         -   0.0300");
        assert_eq!(lines[2], "student of Fréchet    1      64         -  12.5000");
        assert_eq!(&lines[4..], ["SW1: SW1 distance (pixel; lower is better).", "  r."]);
    }

    #[test]
    fn values_of_different_recipes_do_not_share_a_column() {
        let text = table(&[
            report("a", None, vec![measurement("SW1", "one", 1.0)]),
            report("b", None, vec![measurement("SW1", "two", 2.0)]),
        ]);
        assert!(text.lines().next().unwrap().ends_with("SW1  SW1 [2]"), "{text}");
        assert!(text.lines().nth(1).unwrap().ends_with("1.0000        -"), "{text}");
    }

    #[test]
    fn a_value_is_found_by_its_label() {
        let report = report("a", Some(2), vec![measurement("SW1", "r", 0.5)]);
        assert_eq!((report.value("SW1"), report.value("FID")), (Some(0.5), None));
        assert_eq!(report.ms_per_image(), None);
    }
}
