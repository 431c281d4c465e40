//! The log of a stage: `log.jsonl`, as `distill-trainer`'s `JsonLines` documents it.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The newest version of the keys that is known here.
const FORMAT: u32 = 1;

/// Named values; `null` is a value that was not finite.
pub(crate) type Values = BTreeMap<String, Option<f64>>;

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub(crate) images: u64,
}

impl Progress {
    pub(crate) fn kimg(self) -> f64 {
        self.images as f64 / 1000.0
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Start {
    pub(crate) format: u32,
    pub(crate) unix_s: Option<i64>,
    pub(crate) label: String,
    pub(crate) method: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) progress: Progress,
    pub(crate) total_images: u64,
    pub(crate) batch: u64,
    pub(crate) options: serde_json::Value,
    pub(crate) config: serde_json::Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tick {
    pub(crate) progress: Progress,
    pub(crate) total_images: u64,
    pub(crate) elapsed_s: f64,
    pub(crate) images_per_s: Option<f64>,
    pub(crate) terms: Values,
    pub(crate) metrics: Values,
    pub(crate) grad_norm: Values,
    pub(crate) learning_rate: Values,
    pub(crate) memory: Values,
    pub(crate) non_finite: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct End {
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line {
    Start(Box<Start>),
    Tick(Box<Tick>),
    End(End),
    #[serde(other)]
    Unknown,
}

/// From a start or a resume to the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segment {
    pub(crate) start: Start,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) end: Option<End>,
}

/// A log, as far as it can be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    /// Never empty.
    pub(crate) segments: Vec<Segment>,
    /// Numbers of the lines that are no events, counted from 1.
    pub(crate) damaged: Vec<usize>,
}

impl Log {
    /// The events of a log; the number of lines if it has none.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut log = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            match serde_json::from_str(line) {
                Ok(line) => log.add(line),
                Err(_) => log.damaged.push(number),
            }
        }
        if log.segments.is_empty() { Err(text.lines().count()) } else { Ok(log) }
    }

    fn add(&mut self, line: Line) {
        if let Line::Start(start) = line {
            self.segments.push(Segment { start: *start, ..Segment::default() });
            return;
        }
        if self.segments.is_empty() {
            self.segments.push(Segment::default()); // the first line was lost
        }
        let Some(segment) = self.segments.last_mut() else { return };
        match line {
            Line::Tick(tick) => segment.ticks.push(*tick),
            Line::End(end) => segment.end = Some(end),
            Line::Start(_) | Line::Unknown => {}
        }
    }

    pub(crate) fn ticks(&self) -> impl DoubleEndedIterator<Item = &Tick> + Clone {
        self.segments.iter().flat_map(|segment| &segment.ticks)
    }

    pub(crate) fn first(&self) -> &Start {
        &self.segments[0].start
    }

    pub(crate) fn latest(&self) -> &Segment {
        &self.segments[self.segments.len() - 1]
    }

    pub(crate) fn is_newer_than_this_program(&self) -> bool {
        self.segments.iter().any(|segment| segment.start.format > FORMAT)
    }

    pub(crate) fn progress(&self) -> Progress {
        self.latest().ticks.last().map_or(self.latest().start.progress, |tick| tick.progress)
    }

    pub(crate) fn total_images(&self) -> u64 {
        let total = self.latest().start.total_images;
        self.ticks().next_back().map_or(total, |tick| tick.total_images.max(total))
    }

    /// Where the run was resumed, in thousands of images.
    pub(crate) fn resumes(&self) -> Vec<f64> {
        let starts = self.segments.iter().map(|segment| segment.start.progress);
        starts.filter(|progress| progress.images > 0).map(Progress::kimg).collect()
    }

    /// Seconds of training that are in the log.
    pub(crate) fn elapsed_s(&self) -> f64 {
        let last = |segment: &Segment| segment.ticks.last().map_or(0.0, |tick| tick.elapsed_s);
        self.segments.iter().map(last).sum()
    }

    /// Turns that were not finite: the sum of a count that may start anew with a resume.
    pub(crate) fn non_finite(&self) -> u64 {
        let counts = self.ticks().map(|tick| tick.non_finite);
        let before = [0].into_iter().chain(counts.clone());
        counts.zip(before).map(|(now, before)| if now < before { now } else { now - before }).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","format":1,"label":"toy","total_images":9000}"#;

    fn tick(images: u64, non_finite: u64) -> String {
        format!(
            r#"{{"event":"tick","progress":{{"step":1,"images":{images}}},"elapsed_s":5.0,"non_finite":{non_finite},
            "terms":{{"a/loss":null,"b/loss":0.5}},"a key of tomorrow":[1]}}"#
        )
        .replace('\n', " ")
    }

    #[test]
    fn events_become_segments() {
        let resume = r#"{"event":"start","progress":{"images":1000}}"#;
        let end = r#"{"event":"end","outcome":"finished"}"#;
        let news = r#"{"event":"pause"}"#;
        let lines = [START, &tick(1000, 2), resume, &tick(2000, 1), news, &tick(3000, 4), end];
        let log = Log::parse(&lines.join("\n")).unwrap();
        assert_eq!(log.segments.iter().map(|s| s.ticks.len()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((log.damaged.len(), log.first().label.as_str()), (0, "toy"));
        assert_eq!((log.progress().images, log.resumes()), (3000, vec![1.0]));
        assert_eq!(log.latest().end.as_ref().unwrap().outcome, "finished");
        assert_eq!(log.elapsed_s(), 10.0);
        assert_eq!(log.ticks().next().unwrap().terms["a/loss"], None);
        assert_eq!(log.non_finite(), 2 + 1 + 3);
    }

    #[test]
    fn a_count_that_survives_a_resume_is_not_counted_twice() {
        let resume = r#"{"event":"start","progress":{"images":1000}}"#;
        let log = Log::parse(&[START, &tick(1000, 2), resume, &tick(2000, 2)].join("\n")).unwrap();
        assert_eq!(log.non_finite(), 2);
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let half = &tick(2000, 0)[..40];
        let log = Log::parse(&["\u{fffd}", &tick(1000, 0), half].join("\n")).unwrap();
        assert_eq!((log.damaged.clone(), log.ticks().count()), (vec![1, 3], 1));
        assert_eq!(log.total_images(), 0); // nothing is known of it
    }

    #[test]
    fn a_text_without_events_is_no_log() {
        assert_eq!(Log::parse("").unwrap_err(), 0);
        assert_eq!(Log::parse("a\nb\n[1]").unwrap_err(), 3);
    }
}
