//! Which checkpoints are kept.

use std::collections::{BTreeMap, BTreeSet};

/// Which values of a metric are the good ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The lower, the better: a Fréchet distance, a loss.
    Lower,
    /// The higher, the better: an inception score.
    Higher,
}

/// The best `n` checkpoints by one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeepBest {
    pub(crate) metric: String,
    pub(crate) better: Better,
    pub(crate) n: usize,
}

/// The metrics of a checkpoint, by name.
pub(crate) type Metrics = BTreeMap<String, f64>;

/// The indices of the checkpoints that stay: the last `keep`, and the best ones. `checkpoints` are in order of steps.
pub(crate) fn survivors(
    checkpoints: &[Metrics],
    keep: usize,
    best: &[KeepBest],
) -> BTreeSet<usize> {
    let newest = checkpoints.len().saturating_sub(keep)..checkpoints.len();
    newest.chain(best.iter().flat_map(|criterion| criterion.choose(checkpoints))).collect()
}

impl KeepBest {
    /// The indices of the best; of equals the earlier ones. A checkpoint without a value is none of them.
    pub(crate) fn choose(&self, checkpoints: &[Metrics]) -> Vec<usize> {
        let sign = if self.better == Better::Lower { 1.0 } else { -1.0 };
        let value = |(index, metrics): (usize, &Metrics)| {
            metrics.get(&self.metric).map(|value| (sign * value, index))
        };
        let mut ranked: Vec<_> = checkpoints.iter().enumerate().filter_map(value).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked.into_iter().take(self.n).map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_fid(values: &[Option<f64>]) -> Vec<Metrics> {
        let metrics = |fid: &Option<f64>| fid.iter().map(|&fid| ("fid".to_owned(), fid)).collect();
        values.iter().map(metrics).collect()
    }

    #[test]
    fn the_last_and_the_best_survive() {
        let checkpoints = with_fid(&[Some(9.0), Some(3.0), None, Some(3.0), Some(7.0), Some(8.0)]);
        let best = |better, n| [KeepBest { metric: "fid".into(), better, n }];
        let chosen = |keep, best: &[KeepBest]| -> Vec<usize> {
            survivors(&checkpoints, keep, best).into_iter().collect()
        };
        assert_eq!(chosen(2, &[]), [4, 5]);
        assert_eq!(chosen(9, &[]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(chosen(1, &best(Better::Lower, 1)), [1, 5], "of two equal ones the earlier");
        assert_eq!(chosen(1, &best(Better::Lower, 3)), [1, 3, 4, 5]);
        assert_eq!(chosen(2, &best(Better::Higher, 1)), [0, 4, 5]);
        assert_eq!(chosen(1, &best(Better::Higher, 9)), [0, 1, 3, 4, 5], "one has no value");
    }
}
