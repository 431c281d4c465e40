//! Several seeds as one line: for people and as JSON.

use super::rows::Measured;
use fewstep::metrics::MetricInfo;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// One metric of one sampler.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    subject: PathBuf,
    reference: Option<PathBuf>,
    images: usize,
    /// `null` for images in files.
    sampler: serde_json::Value,
    pub(crate) nfe: Option<usize>,
    /// The metric, its recipe in full.
    pub(crate) metric: MetricInfo,
    seeds: Vec<u64>,
    /// One for each seed.
    pub(crate) values: Vec<f64>,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    /// The largest value minus the least.
    spread: f64,
    /// Of each value that is a mean itself.
    standard_errors: Vec<f64>,
    ms_per_image: Option<f64>,
}

/// A line for each sampler and metric, in the order of the measurements.
pub(crate) fn lines(measured: &[Measured]) -> Vec<Line> {
    let mut groups: Vec<Vec<&Measured>> = Vec::new();
    for one in measured {
        let same =
            |other: &Measured| other.row.sampler == one.row.sampler && other.info == one.info;
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.iter().map(|group| line(group)).collect()
}

fn line(group: &[&Measured]) -> Line {
    let row = &group[0].row;
    let values: Vec<f64> = group.iter().map(|one| one.value).collect();
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let times: Vec<f64> = group.iter().filter_map(|one| one.ms_per_image).collect();
    Line {
        subject: row.subject.path.clone(),
        reference: row.reference.as_ref().map(|reference| reference.path.clone()),
        images: row.images,
        sampler: serde_json::from_str(&row.sampler).unwrap_or_default(),
        nfe: row.nfe,
        metric: group[0].info.clone(),
        seeds: group.iter().map(|one| one.row.seed).collect(),
        mean: mean(&values),
        min,
        spread: max - min,
        values,
        standard_errors: group.iter().filter_map(|one| one.standard_error).collect(),
        ms_per_image: (!times.is_empty()).then(|| mean(&times)),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The lines for people, then the samplers and recipes in full.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:16} {:>5} {:>7} {:>5} {:>9}  {:12} {:>10} {:>10} {:>10}\n",
        "sampler", "NFE", "images", "seeds", "ms/image", "metric", "min", "mean", "spread"
    );
    for line in lines {
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let (nfe, ms) = (line.nfe.map(|nfe| nfe.to_string()), line.ms_per_image);
        let _ = writeln!(
            text,
            "{:16} {:>5} {:>7} {:>5} {:>9}  {:12} {:>10} {:>10} {:>10}",
            short(&line.sampler),
            dash(nfe),
            line.images,
            line.seeds.len(),
            dash(ms.map(|ms| format!("{ms:.2}"))),
            line.metric.label,
            number(line.min),
            number(line.mean),
            number(line.spread),
        );
    }
    let samplers = lines.iter().filter(|line| !line.sampler.is_null());
    let samplers = samplers.map(|line| format!("{}: {}", short(&line.sampler), line.sampler));
    let metrics = lines.iter().map(|line| {
        let MetricInfo { label, name, unit, direction, recipe } = &line.metric;
        format!("{label}: {name} ({unit}; {direction}).\n  {recipe}.")
    });
    let mut notes: Vec<String> = Vec::new();
    for note in samplers.chain(metrics) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    text + "\n" + &notes.join("\n") + "\n"
}

/// A sampler by its kind and steps.
fn short(sampler: &serde_json::Value) -> String {
    match (sampler["kind"].as_str(), sampler["steps"].as_u64()) {
        (Some(kind), Some(steps)) => format!("{kind}, {steps} steps"),
        (Some(kind), None) => kind.into(),
        (None, _) => "images in files".into(),
    }
}

/// Digits enough for distances of thousands and of thousandths.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.2e}"),
        size if size < 10.0 => format!("{value:.4}"),
        _ => format!("{value:.3}"),
    }
}
