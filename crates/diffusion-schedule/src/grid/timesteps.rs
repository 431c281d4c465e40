//! Levels that are timesteps of a discrete process.

use super::{Grid, KarrasGrid, TimestepSpacing};
use crate::{DiscreteVp, Result};
use serde::{Deserialize, Serialize};

/// Whether the levels of picked timesteps are moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Respacing {
    /// They stay.
    #[default]
    None,
    /// As many levels, spaced as in a [`KarrasGrid`] between the highest and the lowest picked one.
    KarrasWithin,
    /// As many levels, spaced as in a [`KarrasGrid`] over the whole process.
    KarrasWhole,
}

/// The levels of timesteps of a discrete process, as the samplers of published latent and pixel models visit them.
///
/// The level of a fractional timestep is interpolated linearly between its neighbors, as these samplers do, not in `ln sigma` as
/// [`DiscreteVp::sigma`] does.
///
/// # Source
/// diffusers' schedulers, `set_timesteps`; see [`TimestepSpacing`].
///
/// # Example
/// ```
/// use diffusion_schedule::{DiscreteVp, Grid, TimestepGrid, TimestepSpacing};
/// let process = DiscreteVp::latent_diffusion();
/// let grid = TimestepGrid { process, spacing: TimestepSpacing::Trailing, ..TimestepGrid::default() };
/// assert_eq!(grid.timesteps(2)?, [999.0, 499.0]);
/// assert!((grid.sigmas(2)[1] - 1.612_886).abs() < 1e-6);
/// # Ok::<(), diffusion_schedule::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimestepGrid {
    /// The process that has the timesteps.
    pub process: DiscreteVp,
    /// Which of them are picked.
    pub spacing: TimestepSpacing,
    /// What leading spacings add to each.
    pub steps_offset: usize,
    /// Whether the levels are moved.
    pub respacing: Respacing,
}

impl TimestepGrid {
    /// The timesteps of `steps` levels, highest first.
    ///
    /// # Errors
    /// - Those of [`DiscreteVp::validate`];
    /// - those of [`TimestepSpacing::timesteps`].
    pub fn timesteps(&self, steps: usize) -> Result<Vec<f64>> {
        let picked = self.picked(steps)?;
        let times = || self.levels(&picked).into_iter().map(|sigma| self.process.timestep(sigma));
        Ok(match self.respacing {
            Respacing::None => picked,
            Respacing::KarrasWithin => times().collect(),
            Respacing::KarrasWhole => times().map(f64::round_ties_even).collect(),
        })
    }

    /// Timesteps before their levels are moved.
    fn picked(&self, steps: usize) -> Result<Vec<f64>> {
        self.process.validate()?;
        self.spacing.timesteps(steps, self.process.steps, self.steps_offset)
    }

    /// The levels for these timesteps.
    fn levels(&self, timesteps: &[f64]) -> Vec<f64> {
        let table = self.process.sigmas();
        let levels: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, *t)).collect();
        let (sigma_min, sigma_max) = match self.respacing {
            Respacing::None => return levels,
            Respacing::KarrasWithin => (levels[levels.len() - 1], levels[0]),
            Respacing::KarrasWhole => (table[0], table[table.len() - 1]),
        };
        KarrasGrid { sigma_min, sigma_max, ..KarrasGrid::default() }.sigmas(levels.len())
    }
}

impl Grid for TimestepGrid {
    /// # Panics
    /// Where [`TimestepGrid::timesteps`] has an error: call that first for settings that a person chose.
    fn sigmas(&self, steps: usize) -> Vec<f64> {
        let picked = self.picked(steps).unwrap_or_else(|error| panic!("{error}"));
        self.levels(&picked)
    }
}

/// The value at position `t` of a table.
fn interpolate(table: &[f64], t: f64) -> f64 {
    let (low, high) = (table[t.floor() as usize], table[t.ceil() as usize]);
    low + (high - low) * t.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// Checks timesteps and levels of Stable Diffusion's process against the reference in `f64`.
    fn assert_grid(spacing: TimestepSpacing, respacing: Respacing, expected: &[(f64, f64)]) {
        let process = DiscreteVp::latent_diffusion();
        let grid = TimestepGrid { process, spacing, steps_offset: 1, respacing };
        let (timesteps, sigmas) =
            (grid.timesteps(expected.len()).unwrap(), grid.sigmas(expected.len()));
        assert_eq!(sigmas.len(), expected.len());
        for (i, (t, sigma)) in expected.iter().enumerate() {
            assert!((timesteps[i] - t).abs() < 2e-3, "{spacing:?}: {timesteps:?}");
            assert!((sigmas[i] / sigma - 1.0).abs() < 1e-12, "{spacing:?}: {sigmas:?}");
        }
    }

    #[test]
    fn levels_are_those_of_the_reference() {
        let stay = Respacing::None;
        assert_grid(
            TimestepSpacing::Trailing,
            stay,
            &[
                (999.0, 14.614_641_229_333_639),
                (749.0, 4.081_729_363_724_308),
                (499.0, 1.612_886_194_303_876),
                (249.0, 0.693_204_899_638_688_5),
            ],
        );
        assert_grid(
            TimestepSpacing::LinspaceFractional,
            stay,
            &[
                (999.0, 14.614_641_229_333_639),
                (749.25, 4.086_088_035_471_24),
                (499.5, 1.615_582_510_161_246_4),
                (249.75, 0.695_150_427_705_911_3),
                (0.0, 0.029_167_158_151_720_367),
            ],
        );
        assert_grid(
            TimestepSpacing::LinspaceOpen,
            stay,
            &[
                (999.0, 14.614_641_229_333_639),
                (856.0, 6.668_571_005_499_016),
                (714.0, 3.528_203_192_156_545_3),
                (571.0, 2.061_670_737_676_992_3),
                (428.0, 1.276_235_135_001_569_5),
                (285.0, 0.790_060_956_584_414_4),
                (143.0, 0.440_309_013_831_580_33),
            ],
        );
        assert_grid(
            TimestepSpacing::Leading,
            stay,
            &[
                (831.0, 5.906_449_001_638_776),
                (665.0, 2.907_121_384_309_188),
                (499.0, 1.612_886_194_303_876),
                (333.0, 0.932_357_966_834_847_4),
                (167.0, 0.494_696_876_832_727_67),
                (1.0, 0.041_314_411_996_783_09),
            ],
        );
    }

    #[test]
    fn moved_levels_are_those_of_the_reference() {
        assert_grid(
            TimestepSpacing::LeadingOpen,
            Respacing::KarrasWhole,
            &[
                (999.0, 14.614_641_229_333_643),
                (837.0, 6.082_149_208_471_242),
                (594.0, 2.232_154_544_358_539),
                (249.0, 0.692_570_376_806_532_9),
                (30.0, 0.169_756_575_757_234_2),
                (0.0, 0.029_167_158_151_720_38),
            ],
        );
        let process = DiscreteVp::latent_diffusion();
        let respacing = Respacing::KarrasWithin;
        let grid = TimestepGrid { process, steps_offset: 1, respacing, ..TimestepGrid::default() };
        let reference = [
            (751.0, 4.116_698_27),
            (411.415_375, 1.208_777_79),
            (69.403_160, 0.273_387_22),
            (1.0, 0.041_314_48),
        ];
        let (timesteps, sigmas) = (grid.timesteps(4).unwrap(), grid.sigmas(4));
        for (i, (t, sigma)) in reference.into_iter().enumerate() {
            // the reference is in single precision
            assert!((timesteps[i] - t).abs() < 2e-3, "{timesteps:?}");
            assert!((sigmas[i] / sigma - 1.0).abs() < 5e-6, "{sigmas:?}");
        }
    }

    #[test]
    fn whole_timesteps_have_the_levels_of_the_process() {
        let grid = TimestepGrid { spacing: TimestepSpacing::Trailing, ..TimestepGrid::default() };
        let timesteps = grid.timesteps(48).unwrap();
        for (t, sigma) in timesteps.into_iter().zip(grid.sigmas(48)) {
            assert!((grid.process.sigma(t) / sigma - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn pure_noise_is_visited_as_a_finite_level() {
        let process = DiscreteVp { zero_terminal_snr: true, ..DiscreteVp::latent_diffusion() };
        let grid =
            TimestepGrid { process, spacing: TimestepSpacing::Trailing, ..TimestepGrid::default() };
        for (found, reference) in
            grid.sigmas(4).into_iter().zip([4096.0, 5.398_741, 1.768_081, 0.727_056])
        {
            assert!((found / reference - 1.0).abs() < 1e-5, "{found}");
        }
    }

    #[test]
    fn impossible_settings_are_refused() {
        let steps = Error::Steps { steps: 0, limit: 1000 };
        assert_eq!(TimestepGrid::default().timesteps(0), Err(steps));
        let process = DiscreteVp { beta_start: -1.0, ..DiscreteVp::default() };
        let grid = TimestepGrid { process, ..TimestepGrid::default() };
        assert!(matches!(grid.timesteps(4), Err(Error::Beta { name: "beta_start", .. })));
    }
}
