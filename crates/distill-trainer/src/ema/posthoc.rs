//! Averages that are made after a run from those that were saved in it.

use crate::{Error, PowerEma, Result};

/// An average at one moment of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerProfile {
    /// The images seen until then.
    pub images: u64,
    /// The kind of average.
    pub ema: PowerEma,
}

impl PowerProfile {
    /// The integral of the product of two weight profiles, each of which integrates to 1.
    fn correlation(self, other: Self) -> f64 {
        let [t, u] = [self.images, other.images].map(|images| images as f64);
        let [a, b] = [self.ema.gamma, other.ema.gamma];
        let common = t.min(u);
        let overlap = (common / t).powf(a) * (common / u).powf(b);
        (a + 1.0) * (b + 1.0) / (a + b + 1.0) * overlap / t.max(u)
    }
}

/// How to mix saved averages into averages that were never kept.
///
/// Returns for every target the factors of the snapshots, in order: those that mix the snapshots' profiles into the
/// closest one to the target's, in the least-squares sense, scaled so that their sum is 1. A target between the
/// snapshots' deviations is met almost exactly; one far outside is not, and its factors grow large.
///
/// ```text
/// A X = B,     A = ⟨snapshot, snapshot⟩,   B = ⟨snapshot, target⟩
/// ```
///
/// # Errors
/// [`Error::Config`] if there is no snapshot, one at 0 images, or two that are the same.
///
/// # Source
/// Karras et al. 2024, arXiv:2312.02696, appendix C.2; official code `training/phema.py`.
///
/// # Example
/// ```
/// use distill_trainer::{PowerEma, PowerProfile, posthoc_coefficients};
/// let at = |images, std| PowerProfile { images, ema: PowerEma::from_std(std) };
/// let snapshots = [at(1000, 0.05), at(1000, 0.10), at(2000, 0.05), at(2000, 0.10)];
/// let factors = &posthoc_coefficients(&snapshots, &[at(2000, 0.10)])?[0];
/// assert!((factors[3] - 1.0).abs() < 1e-9); // that one was kept
/// # Ok::<(), distill_trainer::Error>(())
/// ```
pub fn posthoc_coefficients(
    snapshots: &[PowerProfile],
    targets: &[PowerProfile],
) -> Result<Vec<Vec<f64>>> {
    let refuse =
        |field: String, value: String, expected| Err(Error::Config { field, value, expected });
    if snapshots.is_empty() {
        return refuse("snapshots".into(), "[]".into(), "must hold at least one average");
    }
    for (name, profiles) in [("snapshots", snapshots), ("targets", targets)] {
        if let Some(index) = profiles.iter().position(|profile| profile.images == 0) {
            return refuse(format!("{name}[{index}].images"), "0".into(), "must be positive");
        }
    }
    let row = |a: &PowerProfile| {
        snapshots.iter().chain(targets).map(|b| a.correlation(*b)).collect::<Vec<f64>>()
    };
    let mut system: Vec<Vec<f64>> = snapshots.iter().map(row).collect();
    if let Err(index) = eliminate(&mut system) {
        let value = format!("{:?}", snapshots[index]);
        return refuse(format!("snapshots[{index}]"), value, "must differ from all others");
    }
    let normalized = |target: usize| {
        let column: Vec<f64> = system.iter().map(|row| row[snapshots.len() + target]).collect();
        let sum: f64 = column.iter().sum();
        column.into_iter().map(|factor| factor / sum).collect()
    };
    Ok((0..targets.len()).map(normalized).collect())
}

/// Solves a linear system in place: rows of a square matrix, each with its right-hand sides behind, which become the
/// solutions. Gives up with the first column that depends on the ones before it.
fn eliminate(rows: &mut [Vec<f64>]) -> Result<(), usize> {
    for k in 0..rows.len() {
        let largest = |&i: &usize, &j: &usize| rows[i][k].abs().total_cmp(&rows[j][k].abs());
        let pivot = (k..rows.len()).max_by(largest).unwrap_or(k);
        rows.swap(k, pivot);
        let scale = rows[k][k].recip();
        if !scale.is_finite() {
            return Err(k);
        }
        rows[k].iter_mut().for_each(|value| *value *= scale);
        let pivot_row = rows[k].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = row[k];
            row.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(images: u64, std: f64) -> PowerProfile {
        PowerProfile { images, ema: PowerEma::from_std(std) }
    }

    #[test]
    fn correlations_are_integrals() {
        let (a, b) = (at(300, 0.1), at(500, 0.2));
        let density = |p: PowerProfile, tau: f64| {
            let t = p.images as f64;
            if tau > t { 0.0 } else { (p.ema.gamma + 1.0) / t * (tau / t).powf(p.ema.gamma) }
        };
        let n = 500_000;
        let integral: f64 = (0..n)
            .map(|i| (f64::from(i) + 0.5) / f64::from(n) * 500.0)
            .map(|tau| density(a, tau) * density(b, tau) * 500.0 / f64::from(n))
            .sum();
        assert!((a.correlation(b) / integral - 1.0).abs() < 1e-5);
        assert!((a.correlation(b) - b.correlation(a)).abs() < 1e-18);
    }

    /// Mixing the averages of many moments gives the moments of the target's weight.
    #[test]
    fn a_mixture_has_the_targets_mean_and_deviation() {
        let snapshots: Vec<_> =
            (1..=12).flat_map(|k| [at(k * 100, 0.05), at(k * 100, 0.1)]).collect();
        let target = at(1200, 0.15);
        let factors = &posthoc_coefficients(&snapshots, &[target]).unwrap()[0];
        assert!((factors.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let moment = |p: &PowerProfile, n: i32| {
            let gamma = p.ema.gamma;
            (p.images as f64).powi(n) * (gamma + 1.0) / (gamma + 1.0 + f64::from(n))
        };
        for n in [1, 2] {
            let mixed: f64 = factors.iter().zip(&snapshots).map(|(f, p)| f * moment(p, n)).sum();
            assert!((mixed / moment(&target, n) - 1.0).abs() < 1e-3, "moment {n}: {mixed}");
        }
    }

    #[test]
    fn impossible_mixtures_are_named() {
        let field =
            |snapshots: &[PowerProfile], targets: &[PowerProfile]| match posthoc_coefficients(
                snapshots, targets,
            )
            .unwrap_err()
            {
                Error::Config { field, .. } => field,
                other => panic!("{other}"),
            };
        let good = at(100, 0.1);
        assert_eq!(field(&[], &[good]), "snapshots");
        assert_eq!(field(&[good, PowerProfile { images: 0, ..good }], &[]), "snapshots[1].images");
        assert_eq!(field(&[good], &[PowerProfile { images: 0, ..good }]), "targets[0].images");
        assert_eq!(field(&[good, good], &[good]), "snapshots[1]");
    }
}
