//! The discrete variance-preserving process.

use super::zero_snr::alphas_cumprod;
use super::{BetaSchedule, bounded_steps, check_steps, zero_terminal_snr};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is left of the image's variance at the last level of a process with zero terminal SNR: the smallest number above
/// 0 in half precision. The level is then 4096 instead of infinite.
const LAST_SHARE: f64 = 1.0 / (1 << 24) as f64;

/// The process behind DDPM, guided-diffusion and Stable Diffusion: `steps` levels, numbered by a timestep `t`.
///
/// ```text
/// x_t = √ā_t x0 + √(1 - ā_t) n,   ā_t = Π_(s ≤ t) (1 - beta_s)       the process
/// x = x_t / √ā_t = x0 + sigma n,  sigma(t) = √((1 - ā_t) / ā_t)      the same in terms of noise levels
/// ```
///
/// Between whole timesteps `ln sigma` is interpolated linearly. The default is DDPM's: 1000 steps, linear from 1e-4 to 0.02.
///
/// With `zero_terminal_snr`, `ā` ends at 0 and `sigma` would at infinity. [`DiscreteVp::sigmas`] ends at 4096 instead, as the
/// samplers of diffusers do (`ā = 2⁻²⁴`); where the level before it is above that already, at √2 times that level, so that
/// levels always ascend. Predicted noise says next to nothing about the image there: such networks predict velocities or images.
///
/// # Source
/// Ho et al. 2020, arXiv:2006.11239; k-diffusion's `DiscreteSchedule` for the times between; Lin et al. 2024,
/// arXiv:2305.08891, for zero terminal SNR. Tables are exact to `f64`, published code has them in `f32` or `f64`.
///
/// # Example
/// ```
/// use diffusion_schedule::DiscreteVp;
/// let sd = DiscreteVp::latent_diffusion();
/// assert!((sd.sigma(999.0) - 14.6146).abs() < 1e-4);
/// assert!((sd.timestep(sd.sigma(250.5)) - 250.5).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscreteVp {
    /// The number of levels; 2 to 100,000.
    #[serde(deserialize_with = "bounded_steps")]
    pub steps: usize,
    /// The rule for the noise rates.
    pub beta_schedule: BetaSchedule,
    /// The first noise rate, above 0; without effect on the cosine schedule.
    pub beta_start: f64,
    /// The last noise rate, below 1; without effect on the cosine schedule.
    pub beta_end: f64,
    /// Whether the rates are rescaled so that the last level is pure noise: see [`zero_terminal_snr`].
    pub zero_terminal_snr: bool,
}

impl Default for DiscreteVp {
    fn default() -> Self {
        Self::linear(1000)
    }
}

impl DiscreteVp {
    /// The linear process of DDPM and guided-diffusion: 1e-4 to 0.02 for 1000 steps, and rates in inverse proportion to
    /// the number of steps otherwise.
    pub fn linear(steps: usize) -> Self {
        let scale = 1000.0 / steps as f64;
        Self {
            steps,
            beta_schedule: BetaSchedule::Linear,
            beta_start: scale * 1e-4,
            beta_end: scale * 0.02,
            zero_terminal_snr: false,
        }
    }

    /// The cosine process of improved DDPM and guided-diffusion.
    pub fn cosine(steps: usize) -> Self {
        Self { beta_schedule: BetaSchedule::SquaredcosCapV2, ..Self::linear(steps) }
    }

    /// The process of Stable Diffusion: 1000 steps, scaled linear from 0.00085 to 0.012.
    pub fn latent_diffusion() -> Self {
        let (beta_start, beta_end) = (0.00085, 0.012);
        Self { beta_schedule: BetaSchedule::ScaledLinear, beta_start, beta_end, ..Self::default() }
    }

    /// Checks that the levels can be computed.
    ///
    /// # Errors
    /// - [`Error::ProcessSteps`] for a number of steps outside of 2 to 100,000;
    /// - [`Error::Beta`] for a first or last noise rate that is not above 0 and below 1.
    pub fn validate(&self) -> Result<()> {
        check_steps(self.steps, 2)?;
        for (name, value) in [("beta_start", self.beta_start), ("beta_end", self.beta_end)] {
            let usable = value > 0.0 && value < 1.0;
            if !usable && self.beta_schedule != BetaSchedule::SquaredcosCapV2 {
                return Err(Error::Beta { name, value });
            }
        }
        Ok(())
    }

    /// The noise rates.
    pub fn betas(&self) -> Vec<f64> {
        let betas = self.beta_schedule.betas(self.steps, self.beta_start, self.beta_end);
        if self.zero_terminal_snr { zero_terminal_snr(&betas) } else { betas }
    }

    /// The shares `ā` of the image's variance that are left, falling; the last is 0 with `zero_terminal_snr`.
    pub fn alphas_cumprod(&self) -> Vec<f64> {
        alphas_cumprod(&self.betas())
    }

    /// The noise levels of the timesteps 0, 1, …, ascending and finite.
    pub fn sigmas(&self) -> Vec<f64> {
        let mut shares = self.alphas_cumprod();
        if let ([.., before, last], true) = (shares.as_mut_slice(), self.zero_terminal_snr) {
            *last = if *before > LAST_SHARE { LAST_SHARE } else { *before / 2.0 };
        }
        shares.into_iter().map(|share| ((1.0 - share) / share).sqrt()).collect()
    }

    /// The noise level at the timestep `t`; times outside of 0 to `steps - 1` count as the nearest of these.
    ///
    /// # Panics
    /// If the process has no steps.
    pub fn sigma(&self, t: f64) -> f64 {
        let sigmas = self.sigmas();
        let t = t.clamp(0.0, (sigmas.len() - 1) as f64);
        let (low, high) = (sigmas[t.floor() as usize].ln(), sigmas[t.ceil() as usize].ln());
        (low + (high - low) * t.fract()).exp()
    }

    /// The time at which the noise level is `sigma`, the inverse of [`DiscreteVp::sigma`]; levels outside of the range
    /// have the time of its end.
    ///
    /// # Panics
    /// If the process has fewer than 2 steps.
    pub fn timestep(&self, sigma: f64) -> f64 {
        let sigmas = self.sigmas();
        let above = sigmas.partition_point(|level| *level <= sigma).clamp(1, sigmas.len() - 1);
        let (low, high) = (sigmas[above - 1].ln(), sigmas[above].ln());
        let share = (sigma.ln() - low) / (high - low);
        (above - 1) as f64 + share.clamp(0.0, 1.0)
    }

    /// The whole timestep whose level is nearest to `sigma`, in `ln sigma`.
    ///
    /// # Panics
    /// If the process has fewer than 2 steps.
    pub fn nearest_timestep(&self, sigma: f64) -> usize {
        self.timestep(sigma).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_steps() -> DiscreteVp {
        DiscreteVp { steps: 2, ..DiscreteVp::default() }
    }

    #[test]
    fn shares_are_those_of_the_official_code_in_double_precision() {
        for (process, expected) in [
            (
                DiscreteVp::latent_diffusion(),
                [0.998_296_027_838_451_4, 0.276_332_683_822_974_6, 0.004_660_098_513_077_238],
            ),
            (
                DiscreteVp::linear(1000),
                [0.999_780_092_072_072_1, 0.077_796_658_365_023_89, 4.035_829_765_375_675_4e-5],
            ),
            (
                DiscreteVp::cosine(1000),
                [0.999_912_575_927_367_8, 0.492_285_172_448_803_04, 2.428_766_907_034_856_7e-9],
            ),
        ] {
            let shares = process.alphas_cumprod();
            for (t, expected) in [1, 500, 999].into_iter().zip(expected) {
                assert!(
                    (shares[t] / expected - 1.0).abs() < 1e-10,
                    "{process:?} {t}: {}",
                    shares[t]
                );
            }
        }
    }

    #[test]
    fn levels_are_those_of_published_samplers() {
        let sd = DiscreteVp::latent_diffusion();
        for (t, expected) in [
            (0, 0.029_167_158_151_720_367),
            (499, 1.612_886_194_303_876),
            (999, 14.614_641_229_333_639),
        ] {
            assert!((sd.sigmas()[t] / expected - 1.0).abs() < 1e-12, "{t}: {}", sd.sigmas()[t]);
            assert!((sd.sigma(t as f64) / expected - 1.0).abs() < 1e-12);
            assert_eq!(sd.nearest_timestep(expected), t);
        }
    }

    #[test]
    fn the_linear_process_of_fewer_steps_covers_the_same_levels() {
        let [coarse, fine] = [250, 1000].map(|steps| DiscreteVp::linear(steps).sigma(f64::MAX));
        assert!((coarse / fine).ln().abs() < 0.15, "{coarse} {fine}"); // 175 and 157
        assert_eq!(DiscreteVp::linear(250).betas()[249], 0.08);
    }

    #[test]
    fn between_two_levels_the_logarithm_is_linear() {
        let process = DiscreteVp::latent_diffusion();
        let sigmas = process.sigmas();
        let middle = (sigmas[0] * sigmas[1]).sqrt();
        assert!((process.sigma(0.5) / middle - 1.0).abs() < 1e-12);
        assert!((process.timestep(middle) - 0.5).abs() < 1e-12);
        assert_eq!(process.nearest_timestep(middle * 0.999), 0);
        assert_eq!(process.nearest_timestep(middle * 1.001), 1);
    }

    #[test]
    fn levels_and_times_are_inverse_and_end_with_the_range() {
        for process in [DiscreteVp::default(), DiscreteVp::cosine(4000), two_steps()] {
            let last = (process.steps - 1) as f64;
            for t in [0.0, 0.25 * last, 0.7 * last, last] {
                assert!((process.timestep(process.sigma(t)) - t).abs() < 1e-6, "{process:?} {t}");
            }
            assert_eq!((process.timestep(0.0), process.timestep(1e9)), (0.0, last));
            assert_eq!(
                (process.sigma(-1.0), process.sigma(1e9)),
                (process.sigma(0.0), process.sigma(last))
            );
        }
    }

    #[test]
    fn pure_noise_is_a_high_level_above_all_others() {
        let zero = |process| DiscreteVp { zero_terminal_snr: true, ..process };
        let sd = zero(DiscreteVp::latent_diffusion());
        assert_eq!(sd.alphas_cumprod()[999], 0.0);
        assert!((sd.sigmas()[999] - 4096.0).abs() < 1e-3);
        assert!((sd.sigma(749.0) - 5.398_740_768).abs() < 1e-4); // diffusers' `f32` table
        for process in
            [sd, zero(DiscreteVp::linear(1000)), zero(DiscreteVp::cosine(1000)), zero(two_steps())]
        {
            let sigmas = process.sigmas();
            assert!(sigmas.windows(2).all(|pair| pair[0] < pair[1]), "{process:?}");
            assert!(sigmas.iter().all(|sigma| sigma.is_finite()));
        }
        let steep = zero(DiscreteVp::linear(1000)).sigmas();
        assert!((steep[999] / steep[998] - 2f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn impossible_processes_are_refused() {
        let usual = DiscreteVp::default();
        assert_eq!(usual.validate(), Ok(()));
        for steps in [0, 1, 100_001] {
            let refused = DiscreteVp { steps, ..usual }.validate();
            assert_eq!(refused, Err(Error::ProcessSteps { steps, least: 2, limit: 100_000 }));
        }
        let refused = DiscreteVp { beta_end: 1.0, ..usual }.validate();
        assert_eq!(refused, Err(Error::Beta { name: "beta_end", value: 1.0 }));
        assert!(DiscreteVp { beta_start: f64::NAN, ..usual }.validate().is_err());
        assert!(DiscreteVp { beta_start: 0.0, ..DiscreteVp::cosine(1000) }.validate().is_ok());
        assert!(toml::from_str::<DiscreteVp>("steps = 1000000000").is_err());
        assert!(toml::from_str::<DiscreteVp>("beta_max = 0.1").is_err());
    }
}
