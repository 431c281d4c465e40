//! The share of noise that each step of a discrete process adds.

use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// The largest beta of the cosine schedule.
const MAX_BETA: f64 = 0.999;

/// A rule for the noise rates `beta_0 … beta_(n-1)` of a discrete process, under the names of diffusers.
///
/// ```text
/// linear             beta_i = start + u (end - start)                          u = i / (n - 1)
/// scaled_linear      beta_i = (√start + u (√end - √start))²
/// squaredcos_cap_v2  beta_i = min(1 - f((i + 1) / n) / f(i / n), 0.999)        f(t) = cos²((t + 0.008) / 1.008 · π/2)
/// sigmoid            beta_i = start + (end - start) / (1 + exp(6 - 12 u))
/// ```
///
/// # Source
/// Ho et al. 2020, arXiv:2006.11239 (`linear`); Rombach et al. 2022, arXiv:2112.10752 (`scaled_linear`); Nichol & Dhariwal
/// 2021, arXiv:2102.09672 (`squaredcos_cap_v2`, there "cosine"); Xu et al. 2022, arXiv:2203.02923 (`sigmoid`). Differs:
/// computed in `f64`; diffusers has tables in `f32`.
///
/// # Example
/// ```
/// use diffusion_schedule::BetaSchedule;
/// assert_eq!(BetaSchedule::Linear.betas(3, 0.25, 0.75), [0.25, 0.5, 0.75]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Evenly spaced: DDPM, guided-diffusion's "linear".
    Linear,
    /// Evenly spaced square roots: latent diffusion.
    ScaledLinear,
    /// From a cosine, which fixes start and end: improved DDPM, guided-diffusion's "cosine".
    SquaredcosCapV2,
    /// Along a logistic curve, as for molecules.
    Sigmoid,
}

impl BetaSchedule {
    /// The rates of `steps` steps. One step has the rate `start` (cosine: 0.999).
    pub fn betas(self, steps: usize, start: f64, end: f64) -> Vec<f64> {
        let last = steps.saturating_sub(1).max(1) as f64;
        (0..steps)
            .map(|i| {
                let u = i as f64 / last;
                match self {
                    Self::Linear => between(start, end, u),
                    Self::ScaledLinear => between(start.sqrt(), end.sqrt(), u).powi(2),
                    Self::SquaredcosCapV2 => cosine(i, steps),
                    Self::Sigmoid => start + (end - start) / (1.0 + (6.0 - 12.0 * u).exp()),
                }
            })
            .collect()
    }
}

/// The point at `u` of the way; both ends are exact.
fn between(start: f64, end: f64, u: f64) -> f64 {
    start * (1.0 - u) + end * u
}

fn cosine(i: usize, steps: usize) -> f64 {
    let alpha_bar =
        |i: usize| ((i as f64 / steps as f64 + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    (1.0 - alpha_bar(i + 1) / alpha_bar(i)).min(MAX_BETA)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the rates of steps 0, 1, 500 and 998 of 1000 and that of the last.
    fn assert_rates(schedule: BetaSchedule, [start, end]: [f64; 2], expected: [f64; 5]) {
        let betas = schedule.betas(1000, start, end);
        for (i, expected) in [0, 1, 500, 998, 999].into_iter().zip(expected) {
            assert!((betas[i] / expected - 1.0).abs() < 1e-10, "{schedule:?} {i}: {}", betas[i]);
        }
    }

    #[test]
    fn rates_are_those_of_the_official_code_in_double_precision() {
        assert_rates(
            BetaSchedule::Linear,
            [1e-4, 0.02],
            [
                1e-4,
                0.000_119_919_919_919_919_93,
                0.010_059_959_959_959_96,
                0.019_980_080_080_080_08,
                0.02,
            ],
        );
        assert_rates(
            BetaSchedule::ScaledLinear,
            [0.00085, 0.012],
            [
                0.00085,
                0.000_854_698_655_405_686_2,
                0.004_814_954_141_711_878,
                0.011_982_376_333_083_366,
                0.012,
            ],
        );
        assert_rates(
            BetaSchedule::SquaredcosCapV2,
            [0.0, 0.0], // without effect
            [
                4.128_422_482_196_914e-5,
                4.614_175_273_665_033e-5,
                0.003_155_691_441_585_007,
                0.749_999_392_901_116_6,
                0.999,
            ],
        );
    }

    #[test]
    fn the_logistic_curve_is_symmetric() {
        let betas = BetaSchedule::Sigmoid.betas(101, 0.1, 0.5);
        assert!((betas[50] - 0.3).abs() < 1e-15);
        assert!((betas[0] - (0.1 + 0.4 / (1.0 + 6f64.exp()))).abs() < 1e-15);
        assert!((0..101).all(|i| (betas[i] + betas[100 - i] - 0.6).abs() < 1e-14));
    }

    #[test]
    fn few_steps_are_no_special_case() {
        assert!(BetaSchedule::Linear.betas(0, 0.1, 0.2).is_empty());
        assert_eq!(BetaSchedule::ScaledLinear.betas(1, 0.25, 0.5), [0.25]);
        assert_eq!(BetaSchedule::SquaredcosCapV2.betas(1, 0.25, 0.5), [0.999]);
    }
}
