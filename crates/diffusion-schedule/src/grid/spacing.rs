//! Which timesteps of a discrete process sampling visits.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A rule that picks `N` of the `n` timesteps of a discrete process, highest first, for `i = 0, 1, …, N - 1`.
///
/// ```text
/// leading              (N - 1 - i) ⌊n / N⌋ + offset
/// trailing             round(n - i n / N) - 1
/// linspace             round((N - 1 - i) (n - 1) / (N - 1))
/// linspace_fractional  (N - 1 - i) (n - 1) / (N - 1)
/// leading_open         (N - i) ⌊n / (N + 1)⌋ + offset
/// linspace_open        round((N - i) (n - 1) / N)
/// subset of m          k (m - ⌊i m / N⌋) - 1,   k = ⌊n / m⌋
/// ```
///
/// `round` goes to the nearest even number from halfway, as in the reference. Only trailing spacing and subsets begin at
/// `n - 1` and leave out 0, as few-step students need it; leading spacing never sees pure noise.
///
/// # Source
/// Lin et al. 2024, arXiv:2305.08891, Table 2, for the first three; k-diffusion and diffusers' samplers derived from it
/// (`linspace_fractional`); diffusers' multistep solvers (`…_open`); Luo et al. 2023, arXiv:2310.04378 (`subset`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Evenly spaced from the low end: DDIM's original choice.
    #[default]
    Leading,
    /// Evenly spaced from the high end.
    Trailing,
    /// Both ends, and evenly spaced between them.
    Linspace,
    /// The same, not rounded to whole timesteps.
    LinspaceFractional,
    /// Leading spacing of one timestep more, the lowest of which is left to the end of sampling.
    LeadingOpen,
    /// Both ends and even spacing, for one timestep more, the lowest of which is left to the end of sampling.
    LinspaceOpen,
    /// Some of the `of` timesteps that a latent consistency model was distilled at.
    Subset {
        /// How many timesteps there are to choose from.
        of: usize,
    },
}

impl TimestepSpacing {
    /// `steps` timesteps of a process of `n`, highest first.
    ///
    /// # Errors
    /// - [`Error::Steps`] if `steps` is 0 or more than the rule can place;
    /// - [`Error::Timestep`] if `offset` moves the first timestep out of the process.
    ///
    /// # Example
    /// ```
    /// use diffusion_schedule::TimestepSpacing;
    /// assert_eq!(TimestepSpacing::Leading.timesteps(4, 1000, 1)?, [751.0, 501.0, 251.0, 1.0]);
    /// assert_eq!(TimestepSpacing::Trailing.timesteps(4, 1000, 0)?, [999.0, 749.0, 499.0, 249.0]);
    /// # Ok::<(), diffusion_schedule::Error>(())
    /// ```
    pub fn timesteps(self, steps: usize, n: usize, offset: usize) -> Result<Vec<f64>> {
        let limit = self.limit(n);
        if !(1..=limit).contains(&steps) {
            return Err(Error::Steps { steps, limit });
        }
        let timesteps: Vec<f64> = (0..steps).map(|i| self.at(i, steps, n, offset)).collect();
        if timesteps[0] > (n - 1) as f64 {
            return Err(Error::Timestep { steps, timestep: timesteps[0], last: n - 1 });
        }
        Ok(timesteps)
    }

    /// The most timesteps that can be told apart.
    fn limit(self, n: usize) -> usize {
        match self {
            Self::LeadingOpen | Self::LinspaceOpen => n.saturating_sub(1),
            Self::Subset { of } if of <= n => of,
            Self::Subset { .. } => 0,
            _ => n,
        }
    }

    fn at(self, i: usize, steps: usize, n: usize, offset: usize) -> f64 {
        match self {
            Self::Leading => ((steps - 1 - i) * (n / steps)) as f64 + offset as f64,
            Self::LeadingOpen => ((steps - i) * (n / (steps + 1))) as f64 + offset as f64,
            Self::Trailing => trailing(i, steps, n).round_ties_even() - 1.0,
            Self::Linspace => even(steps - 1 - i, steps - 1, n).round_ties_even(),
            Self::LinspaceFractional => even(steps - 1 - i, steps - 1, n),
            Self::LinspaceOpen => even(steps - i, steps, n).round_ties_even(),
            Self::Subset { of } => (n / of) as f64 * (of as f64 - skipped(i, steps, of)) - 1.0,
        }
    }
}

/// `n - i n / steps` with the rounding of `numpy.arange`, which decides where halves go. For some `steps`, 61 of 1000 for
/// one, that function adds a timestep of -1 at the end; there is none here.
fn trailing(i: usize, steps: usize, n: usize) -> f64 {
    let first = n as f64;
    let delta = (first - first / steps as f64) - first;
    first + i as f64 * delta
}

/// `⌊i of / steps⌋` with the rounding of `numpy.linspace`: of many steps, some fall short of the exact quotient.
fn skipped(i: usize, steps: usize, of: usize) -> f64 {
    (i as f64 * (of as f64 / steps as f64)).floor()
}

/// Point `i` of 0 to `count`, evenly spaced over `[0, n - 1]`.
fn even(i: usize, count: usize, n: usize) -> f64 {
    let last = (n - 1) as f64;
    match count {
        0 => 0.0,
        _ if i == count => last,
        _ => i as f64 * (last / count as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(spacing: TimestepSpacing, steps: usize, offset: usize) -> Vec<u32> {
        let timesteps = spacing.timesteps(steps, 1000, offset).unwrap();
        assert!(timesteps.iter().all(|t| t.fract() == 0.0));
        timesteps.into_iter().map(|t| t as u32).collect()
    }

    #[test]
    fn few_steps_are_where_arithmetic_says() {
        assert_eq!(whole(TimestepSpacing::Leading, 4, 0), [750, 500, 250, 0]);
        assert_eq!(whole(TimestepSpacing::Leading, 7, 1), [853, 711, 569, 427, 285, 143, 1]);
        assert_eq!(whole(TimestepSpacing::Trailing, 7, 0), [999, 856, 713, 570, 428, 285, 142]);
        assert_eq!(whole(TimestepSpacing::Linspace, 7, 0), [999, 832, 666, 500, 333, 166, 0]);
        assert_eq!(whole(TimestepSpacing::LeadingOpen, 4, 1), [801, 601, 401, 201]);
        assert_eq!(whole(TimestepSpacing::LinspaceOpen, 4, 0), [999, 749, 500, 250]);
        let fractional = TimestepSpacing::LinspaceFractional.timesteps(5, 1000, 0).unwrap();
        assert_eq!(fractional, [999.0, 749.25, 499.5, 249.75, 0.0]);
    }

    #[test]
    fn fifty_steps_are_those_of_the_reference() {
        let arithmetic = |first: u32| (0..50).map(|i| first - 20 * i).collect::<Vec<_>>();
        assert_eq!(whole(TimestepSpacing::Leading, 50, 0), arithmetic(980));
        assert_eq!(whole(TimestepSpacing::Leading, 50, 1), arithmetic(981));
        assert_eq!(whole(TimestepSpacing::Trailing, 50, 0), arithmetic(999));
        let linspace = whole(TimestepSpacing::Linspace, 50, 0);
        assert_eq!(linspace[..10], [999, 979, 958, 938, 917, 897, 877, 856, 836, 816]);
        assert_eq!(linspace[45..], [82, 61, 41, 20, 0]);
    }

    #[test]
    fn halves_go_where_the_reference_has_them() {
        assert_eq!(whole(TimestepSpacing::Trailing, 16, 0)[..4], [999, 937, 874, 811]);
        let trailing = whole(TimestepSpacing::Trailing, 48, 0);
        assert_eq!(trailing[..8], [999, 978, 957, 936, 916, 895, 874, 853]);
        assert_eq!(whole(TimestepSpacing::Trailing, 61, 0)[60], 15);
        assert_eq!(
            whole(TimestepSpacing::Subset { of: 1000 }, 998, 0)[497..501],
            [502, 501, 500, 498]
        );
    }

    #[test]
    fn one_step_is_an_end_of_the_process() {
        assert_eq!(whole(TimestepSpacing::Leading, 1, 1), [1]);
        assert_eq!(whole(TimestepSpacing::Trailing, 1, 0), [999]);
        assert_eq!(whole(TimestepSpacing::Linspace, 1, 0), [0]);
        assert_eq!(whole(TimestepSpacing::LinspaceOpen, 1, 0), [999]);
        assert_eq!(whole(TimestepSpacing::Subset { of: 50 }, 1, 0), [999]);
    }

    #[test]
    fn students_visit_some_of_the_timesteps_they_were_distilled_at() {
        let subset = TimestepSpacing::Subset { of: 50 };
        assert_eq!(whole(subset, 2, 0), [999, 499]);
        assert_eq!(whole(subset, 4, 0), [999, 759, 499, 259]);
        assert_eq!(whole(subset, 8, 0), [999, 879, 759, 639, 499, 379, 259, 139]);
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let refusal = |spacing: TimestepSpacing, steps, offset| {
            spacing.timesteps(steps, 1000, offset).unwrap_err()
        };
        let usual = TimestepSpacing::Leading;
        assert_eq!(refusal(usual, 0, 0), Error::Steps { steps: 0, limit: 1000 });
        assert_eq!(refusal(usual, 1001, 0), Error::Steps { steps: 1001, limit: 1000 });
        let outside = Error::Timestep { steps: 1000, timestep: 1000.0, last: 999 };
        assert_eq!(refusal(usual, 1000, 1), outside);
        let open = TimestepSpacing::LeadingOpen;
        assert_eq!(refusal(open, 1000, 0), Error::Steps { steps: 1000, limit: 999 });
        let students = TimestepSpacing::Subset { of: 4 };
        assert_eq!(refusal(students, 5, 0), Error::Steps { steps: 5, limit: 4 });
        let impossible = TimestepSpacing::Subset { of: 1001 };
        assert_eq!(refusal(impossible, 1, 0), Error::Steps { steps: 1, limit: 0 });
        assert!(TimestepSpacing::Leading.timesteps(1, 0, 0).is_err());
    }
}
