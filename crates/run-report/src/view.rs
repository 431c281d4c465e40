//! A run in the words and numbers of the page.

use crate::chart::{self, Chart, Curve, Height};
use crate::format;
use crate::log::{Log, Tick, Values};
use crate::picture::{Picture, Samples};
use crate::run::{Run, Stage};
use crate::table::Table;
use askama::Template;
use serde_json::Value;
use std::collections::BTreeMap;

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Page<'a> {
    title: String,
    folder: String,
    facts: Vec<Fact>,
    warnings: Vec<String>,
    table: Option<&'a Table>,
    results: &'a [Picture],
    stages: Vec<StageView<'a>>,
    texts: Vec<(String, String)>,
    version: &'static str,
}

struct Fact {
    name: &'static str,
    value: String,
}

struct StageView<'a> {
    id: usize,
    name: String,
    label: &'a str,
    status: Status,
    percent: f64,
    progress: String,
    facts: Vec<Fact>,
    charts: Vec<Chart>,
    has_resumes: bool,
    samples: &'a Samples,
}

/// How a stage stands: a class of the style sheet, and words.
struct Status {
    class: &'static str,
    text: String,
}

impl<'a> Page<'a> {
    pub(crate) fn of(run: &'a Run) -> Self {
        let student = &run.stages[run.stages.len() - 1];
        let start = student.log.first();
        let mut warnings: Vec<String> = run.stages.iter().flat_map(warnings).collect();
        warnings.extend(run.complaints.iter().cloned());
        let facts = [
            ("Method", start.method.clone()),
            ("Device", start.device.clone()),
            ("Started", run.stages[0].log.first().unix_s.and_then(format::date)),
            (
                "Training",
                Some(format::duration(run.stages.iter().map(|s| s.log.elapsed_s()).sum())),
            ),
        ];
        Self {
            title: if start.label.is_empty() { "A run".into() } else { start.label.clone() },
            folder: run.folder.display().to_string(),
            facts: known(facts),
            warnings,
            table: run.table.as_ref(),
            results: &run.results,
            stages: (0..).zip(&run.stages).map(|(id, stage)| StageView::of(id, stage)).collect(),
            texts: texts(run),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl<'a> StageView<'a> {
    fn of(id: usize, stage: &'a Stage) -> Self {
        let log = &stage.log;
        let (done, total) = (log.progress().kimg(), log.total_images() as f64 / 1000.0);
        let progress = format!("{} of {} kimg", format::number(done), format::number(total));
        Self {
            id,
            name: title(stage),
            label: &log.first().label,
            status: status(log),
            percent: if total > 0.0 { (100.0 * done / total).min(100.0) } else { 0.0 },
            progress,
            facts: facts(log),
            charts: charts(log),
            has_resumes: !log.resumes().is_empty(),
            samples: &stage.samples,
        }
    }
}

fn title(stage: &Stage) -> String {
    let mut letters = stage.name.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.map_or_else(|| "Training".into(), |first| first + letters.as_str())
}

fn known<const N: usize>(facts: [(&'static str, Option<String>); N]) -> Vec<Fact> {
    let fact = |(name, value): (_, Option<String>)| Some(Fact { name, value: value? });
    facts.into_iter().filter_map(fact).collect()
}

fn status(log: &Log) -> Status {
    let Some(end) = &log.latest().end else {
        return Status { class: "open", text: "no end logged: it goes on, or was killed".into() };
    };
    let class = match &end.outcome[..] {
        "finished" => "good",
        "failed" => "bad",
        _ => "open",
    };
    let reason = end.error.as_ref().map(|error| format!(": {error}"));
    Status { class, text: end.outcome.clone() + &reason.unwrap_or_default() }
}

fn facts(log: &Log) -> Vec<Fact> {
    let latest = log.ticks().next_back();
    let most = |key: &str| {
        let values = log.ticks().filter_map(|tick| *tick.memory.get(key)?);
        values.reduce(f64::max).map(format::bytes)
    };
    let mut speeds: Vec<f64> = log.ticks().filter_map(|tick| tick.images_per_s).collect();
    speeds.sort_by(f64::total_cmp);
    let median =
        speeds.get(speeds.len() / 2).map(|speed| format!("{} img/s", format::number(*speed)));
    let start = &log.latest().start;
    let resumes = log.resumes().len() as u64;
    known([
        ("Elapsed", Some(format::duration(log.elapsed_s()))),
        ("Left", latest.and_then(|tick| left(log, tick))),
        ("Speed (median)", median),
        ("Peak memory", most("rss_peak")),
        ("Peak GPU memory", most("cuda_peak")),
        ("Batch", (start.batch > 0).then(|| start.batch.to_string())),
        ("Resumed", (resumes > 0).then(|| format::count(resumes, "time"))),
    ])
}

/// How long an unfinished run still takes at its latest speed.
fn left(log: &Log, latest: &Tick) -> Option<String> {
    let images = latest.total_images.saturating_sub(log.progress().images);
    let speed = latest.images_per_s.filter(|speed| *speed > 0.0)?;
    (images > 0).then(|| format::duration(images as f64 / speed))
}

fn warnings(stage: &Stage) -> Vec<String> {
    let (name, log) = (title(stage), &stage.log);
    let mut warnings = Vec::new();
    let n = log.non_finite();
    if n > 0 {
        let turns = format::count(n, "turn");
        warnings.push(format!("{name}: {turns} had a loss or a gradient that was not finite."));
    }
    if let [first, ..] = log.damaged[..] {
        let lines = format::count(log.damaged.len() as u64, "damaged line");
        warnings.push(format!("{name}: {lines} of the log left out, the first is line {first}."));
    }
    if log.is_newer_than_this_program() {
        warnings
            .push(format!("{name}: a newer version wrote the log; parts of it may be missing."));
    }
    warnings
}

/// A panel for each metric, then for each term, losses first, then one each for what is told by role or by key.
fn charts(log: &Log) -> Vec<Chart> {
    use Height::{Amount, Magnitude, Relative};
    let resumes = log.resumes();
    let chart = |title: &str, curves: &[Curve], height| Chart::new(title, curves, &resumes, height);
    let (losses, others): (Vec<_>, Vec<_>) = curves(log, |tick| tick.terms.clone())
        .into_iter()
        .partition(|curve| curve.name.ends_with("/loss"));
    let terms = losses.into_iter().chain(others);
    let terms = terms.map(|curve| chart(&curve.name.clone(), &[curve], Relative));
    let metrics = curves(log, |tick| tick.metrics.clone());
    let metrics = metrics.into_iter().map(|curve| chart(&curve.name.clone(), &[curve], Relative));
    let speed = |tick: &Tick| Values::from([("images/s".into(), tick.images_per_s)]);
    let of_roles = [
        chart("gradient norm", &curves(log, |tick| tick.grad_norm.clone()), Magnitude),
        chart("learning rate", &curves(log, |tick| tick.learning_rate.clone()), Relative),
        chart("images per second", &curves(log, speed), Amount),
        chart("memory, GiB", &curves(log, memory), Amount),
    ];
    metrics.chain(terms).chain(of_roles).flatten().collect()
}

fn memory(tick: &Tick) -> Values {
    let name = |key: &str| match key {
        "rss" => "process".into(),
        "rss_peak" => "process, peak".into(),
        "cuda" => "GPU tensors".into(),
        "cuda_peak" => "GPU tensors, peak".into(),
        other => other.to_owned(),
    };
    let gib = |bytes: &Option<f64>| bytes.map(|bytes| bytes / f64::from(1 << 30));
    tick.memory.iter().map(|(key, bytes)| (name(key), gib(bytes))).collect()
}

/// A curve for each name that some tick has. A tick without it leaves no gap.
fn curves(log: &Log, values: impl Fn(&Tick) -> Values) -> Vec<Curve> {
    let mut curves: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for tick in log.ticks() {
        for (name, value) in values(tick) {
            curves.entry(name).or_default().push((tick.progress.kimg(), value));
        }
    }
    curves.into_iter().map(|(name, points)| Curve { name, points }).collect()
}

/// Everything that decided the run, as it was written down.
fn texts(run: &Run) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    if let Some(settings) = &run.settings {
        texts.push(("settings.toml".into(), settings.clone()));
    }
    for stage in &run.stages {
        let (name, start) = (title(stage), &stage.log.latest().start);
        for (what, value) in
            [("method's options", &start.options), ("configuration", &start.config)]
        {
            if !is_empty(value) {
                let text = serde_json::to_string_pretty(value).unwrap_or_default();
                texts.push((format!("{name}: {what}"), text));
            }
        }
        if let Some((checkpoint, manifest)) = &stage.manifest {
            texts.push((format!("{name}: manifest of {checkpoint}"), manifest.clone()));
        }
    }
    texts
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}
