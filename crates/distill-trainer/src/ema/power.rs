//! Averages whose memory grows with the run.

/// A moving average that weighs the weights of time `τ` by `τ^gamma`.
///
/// Its memory is a constant share of the run so far, so it needs no ramp-up, and averages of one run at different
/// times and exponents can be combined into one with another exponent: see
/// [`posthoc_coefficients`](crate::posthoc_coefficients).
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// γ = 0 is the running mean; γ = 1 weighs by time, so of the numbers up to 1 it gives ∫ τ² / ∫ τ = 2/3.
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
}
