//! Averages whose memory grows with the run, and averages made after it.

use crate::{Error, Result};

/// A moving average that weighs the weights of time `τ` by `τ^gamma`.
///
/// Its memory is a constant share of the run so far, so it needs no ramp-up, and averages of one run at different
/// times and exponents can be combined into one with another exponent: see [`posthoc_coefficients`].
///
/// ```text
/// average(t) = Σ_τ τ^γ p(τ) / Σ_τ τ^γ,     std = √( (γ+1) / ((γ+2)² (γ+3)) )
/// ```
///
/// `std` is the standard deviation of `τ` under that weight, as a share of `t`: people choose it, from 0.01 (sharp) to
/// 0.25 (blurred).
///
/// # Source
/// Karras et al. 2024, arXiv:2312.02696, section 3 and appendix C; official code `training/phema.py`.
///
/// # Example
/// ```
/// use distill_trainer::PowerEma;
/// let ema = PowerEma::from_std(0.05);
/// assert!((ema.gamma - 16.97).abs() < 0.01);
/// assert!((ema.std() - 0.05).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerEma {
    /// The exponent; at least 0, where all of the run counts the same.
    pub gamma: f64,
}

impl PowerEma {
    /// The largest relative standard deviation, `1/√12`: that of the plain mean.
    pub const LARGEST_STD: f64 = 0.288_675_134_594_812_9;

    /// The average with that relative standard deviation.
    ///
    /// The exponent is the largest real root of `γ³ + 7γ² + (16 − std⁻²) γ + 12 − std⁻²`.
    ///
    /// # Panics
    /// If `std` is not in `(0, 1/√12]`.
    pub fn from_std(std: f64) -> Self {
        assert!(
            std > 0.0 && std <= Self::LARGEST_STD,
            "the relative standard deviation {std} of a power-function average is not in (0, 1/√12]"
        );
        let q = (std * std).recip();
        let value = |gamma: f64| ((gamma + 7.0) * gamma + 16.0 - q) * gamma + 12.0 - q;
        let slope = |gamma: f64| (3.0 * gamma + 14.0) * gamma + 16.0 - q;
        // 1/std is above the root, and the cubic is convex there: Newton's method falls until it is at the root.
        let mut gamma = std.recip();
        loop {
            let next = gamma - value(gamma) / slope(gamma);
            if next.is_nan() || next >= gamma {
                return Self { gamma: gamma.max(0.0) };
            }
            gamma = next;
        }
    }

    /// The relative standard deviation.
    pub fn std(self) -> f64 {
        ((self.gamma + 1.0) / ((self.gamma + 2.0).powi(2) * (self.gamma + 3.0))).sqrt()
    }

    /// The share of the old average that is kept in a step of `batch` images; `seen` images came before the step.
    ///
    /// ```text
    /// (1 − batch / (seen + batch))^(γ+1)
    /// ```
    pub fn decay(self, seen: u64, batch: usize) -> f64 {
        let seen = seen as f64;
        (seen / (seen + batch as f64)).powf(self.gamma + 1.0)
    }
}

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
/// Returns for every target the factors of the snapshots, in order: those whose sum is 1 and whose mixture of profiles
/// is the closest to the target's in the least-squares sense. A target between the snapshots' deviations is met almost
/// exactly; one far outside is not, and its factors grow large.
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
    let refuse = |field: String, value: String, expected| {
        Err(Error::Config { field, value, expected })
    };
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
    fn deviation_and_exponent_are_inverse() {
        for std in [1e-4, 0.01, 0.05, 0.1, 0.2, 0.25, PowerEma::LARGEST_STD] {
            let ema = PowerEma::from_std(std);
            assert!((ema.std() / std - 1.0).abs() < 1e-12, "{std}: {ema:?}");
        }
        assert!(PowerEma::from_std(PowerEma::LARGEST_STD).gamma.abs() < 1e-12);
        assert!((PowerEma::from_std(0.1).gamma - 6.94).abs() < 0.01);
    }

    #[test]
    #[should_panic(expected = "0.3 of a power-function average is not in")]
    fn a_deviation_beyond_the_plain_mean_is_refused() {
        let _ = PowerEma::from_std(0.3);
    }

    /// γ = 0 is the running mean, γ = 1 weighs by time: Σ k p_k / Σ k in the limit of many steps.
    #[test]
    fn the_average_follows_the_power_function() {
        let average = |gamma: f64, steps: u64| {
            let ema = PowerEma { gamma };
            let value = |average: f64, k: u64| {
                let decay = ema.decay(k * 10, 10);
                decay * average + (1.0 - decay) * (k + 1) as f64
            };
            (0..steps).fold(123.0, value)
        };
        assert!((average(0.0, 9) - 5.0).abs() < 1e-12); // the start is forgotten, the mean of 1..=9
        let share = average(1.0, 10_000) / 10_000.0;
        assert!((share - 2.0 / 3.0).abs() < 1e-4, "{share}");
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
        let snapshots: Vec<_> = (1..=12).flat_map(|k| [at(k * 100, 0.05), at(k * 100, 0.1)]).collect();
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
        let field = |snapshots: &[PowerProfile], targets: &[PowerProfile]| {
            match posthoc_coefficients(snapshots, targets).unwrap_err() {
                Error::Config { field, .. } => field,
                other => panic!("{other}"),
            }
        };
        let good = at(100, 0.1);
        assert_eq!(field(&[], &[good]), "snapshots");
        assert_eq!(field(&[good, PowerProfile { images: 0, ..good }], &[]), "snapshots[1].images");
        assert_eq!(field(&[good], &[PowerProfile { images: 0, ..good }]), "targets[0].images");
        assert_eq!(field(&[good, good], &[good]), "snapshots[1]");
    }
}
