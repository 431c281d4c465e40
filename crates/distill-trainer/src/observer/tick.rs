//! What a report consists of.

use super::Memory;
use crate::Progress;
use serde::Serialize;
use std::collections::BTreeMap;

/// A report on the steps since the last one.
#[derive(Debug, Clone, Serialize)]
pub struct Tick {
    /// How far the run has come.
    pub progress: Progress,
    /// Images of the whole run.
    pub total_images: u64,
    /// Seconds since the run (or its resumption) started.
    pub elapsed_s: f64,
    /// Seconds per thousand images since the last tick, without the time that observers took.
    pub s_per_kimg: f64,
    /// The inverse: images per second.
    pub images_per_s: f64,
    /// Means of what the method logs, since the last tick, by `TURN/TERM`. Every turn has the term `loss`. Turns with a
    /// loss or gradient that was not finite are left out.
    pub terms: BTreeMap<String, f64>,
    /// What was [measured](crate::Observer::measure) of the student at this tick, by name; all finite. Absent from logs
    /// if that is nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Means of the gradients' norms since the last tick, by role: over all turns that moved the player and were
    /// finite, before clipping.
    pub grad_norm: BTreeMap<String, f64>,
    /// Learning rates of the latest step, by role.
    pub learning_rate: BTreeMap<String, f64>,
    /// Memory at the tick.
    pub memory: Memory,
    /// Turns whose loss or gradient was not finite, since the run began.
    pub non_finite: u64,
    /// Whether this is the last tick of the run.
    pub last: bool,
}

impl Tick {
    /// Every number that is worth a curve, by a name that stays the same over a run: the terms as they are called,
    /// `metrics/NAME`, `grad_norm/ROLE`, `learning_rate/ROLE`, `speed/images_per_s`, `memory/KEY` in bytes and
    /// `health/non_finite`.
    pub fn scalars(&self) -> BTreeMap<String, f64> {
        let mut scalars = self.curves();
        let rates = self.learning_rate.iter();
        scalars.extend(rates.map(|(role, &rate)| (format!("learning_rate/{role}"), rate)));
        scalars.insert("speed/images_per_s".into(), self.images_per_s);
        let memory = self.memory.entries();
        scalars.extend(memory.map(|(key, bytes)| (format!("memory/{key}"), bytes as f64)));
        scalars.insert("health/non_finite".into(), self.non_finite as f64);
        scalars
    }

    /// What tells whether the training goes well: terms, metrics and gradient norms.
    pub(super) fn curves(&self) -> BTreeMap<String, f64> {
        let norms = self.grad_norm.iter().map(|(role, &norm)| (format!("grad_norm/{role}"), norm));
        let metrics = self.metrics.iter().map(|(name, &value)| (format!("metrics/{name}"), value));
        norms.chain(metrics).chain(self.terms.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::observer::fixture::tick;

    #[test]
    fn scalars_have_stable_names() {
        let mut tick = tick(1000, &[("fake/loss", 0.5), ("fake/weight", 2.0)]);
        tick.metrics.insert("FID".into(), 7.5);
        let scalars = tick.scalars();
        let expected = [
            ("fake/loss", 0.5),
            ("fake/weight", 2.0),
            ("grad_norm/student", 0.25),
            ("health/non_finite", 0.0),
            ("learning_rate/student", 1e-3),
            ("memory/rss", 3.0 * f64::from(1 << 30)),
            ("memory/rss_peak", 4.0 * f64::from(1 << 30)),
            ("metrics/FID", 7.5),
            ("speed/images_per_s", 500.0),
        ];
        assert_eq!(scalars, expected.map(|(name, value)| (name.into(), value)).into());
    }
}
