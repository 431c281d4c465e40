//! Statistics of two sets of features, by name.

use crate::manifold::{Balls, Centers, Occupancy, occupancy};
use crate::{
    Boundary, Divisor, FdInfinity, FrechetReference, GaussianStats, KernelDistance, KernelSubsets,
    Result, cmmd, fd_infinity_subsets,
};
use diffusion_core::{Noise, NoiseState};
use tch::Tensor;

/// A number that compares the features of real images with those of others.
///
/// # Example
/// ```
/// use metrics::{Boundary, Divisor, SetStatistic};
/// let real = diffusion_core::Noise::new(0).normal_f64(&[100, 4]);
/// let precision = SetStatistic::Precision { k: 3, boundary: Boundary::Inside };
/// assert_eq!(precision.of(&real, &real, Divisor::Sample)?, 1.0);
/// let kid = SetStatistic::TORCH_FIDELITY_KID.of(&real, &real, Divisor::Sample);
/// assert!(kid.is_err()); // 1,000 images are needed
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SetStatistic {
    /// The squared Fréchet distance.
    Frechet,
    /// The squared Fréchet distance, extrapolated to infinitely many images.
    FdInfinity {
        /// Where the subsets are drawn.
        drawn_from: NoiseState,
    },
    /// The kernel inception distance over torch-fidelity's subsets.
    TorchFidelityKid {
        /// Number of subsets.
        subsets: i64,
        /// Images of a subset.
        size: i64,
        /// Seed of NumPy's generator.
        seed: u32,
    },
    /// The kernel inception distance over StyleGAN's subsets.
    StyleGanKid {
        /// Number of subsets.
        subsets: i64,
        /// Most images of a subset.
        max_size: i64,
        /// Where the subsets are drawn.
        drawn_from: NoiseState,
    },
    /// CMMD.
    Cmmd,
    /// The share of images within the `k`-th neighbor's distance of a real one.
    Precision {
        /// Which neighbor.
        k: i64,
        /// Whether the surface counts.
        boundary: Boundary,
    },
    /// The share of real images within the `k`-th neighbor's distance of another.
    Recall {
        /// Which neighbor.
        k: i64,
        /// Whether the surface counts.
        boundary: Boundary,
    },
    /// The mean number of real balls an image is in, over `k`.
    Density {
        /// Which neighbor.
        k: i64,
    },
    /// The share of real balls with an image in them.
    Coverage {
        /// Which neighbor.
        k: i64,
    },
}

impl SetStatistic {
    /// torch-fidelity's KID: 100 subsets of 1,000 images, seed 2020.
    pub const TORCH_FIDELITY_KID: Self =
        Self::TorchFidelityKid { subsets: 100, size: 1000, seed: 2020 };

    /// StyleGAN's `kid50k`: 100 subsets of at most 1,000 images, drawn from a seed.
    pub fn style_gan_kid(seed: u64) -> Self {
        let drawn_from = Noise::new(seed).state();
        Self::StyleGanKid { subsets: 100, max_size: 1000, drawn_from }
    }

    /// The value for features of real images, `[N, D]`, and of others, `[M, D]`; covariances, where there are any, by
    /// `divisor`.
    ///
    /// # Errors
    /// Those of the function that computes it: too few rows, other lengths, NaN.
    pub fn of(self, real: &Tensor, others: &Tensor, divisor: Divisor) -> Result<f64> {
        let rows = |set: &Tensor| set.size().first().copied().unwrap_or(0);
        let (n, m) = (rows(real), rows(others));
        Ok(match self {
            Self::Frechet => {
                let stats = GaussianStats::of(others)?;
                gaussian(real, divisor)?.distance(&stats.mean()?, &stats.covariance_by(divisor)?)?
            }
            Self::FdInfinity { drawn_from } => {
                let subsets = fd_infinity_subsets(m, &mut Noise::from_state(drawn_from));
                let reference = gaussian(real, divisor)?;
                FdInfinity::of_subsets(&reference, others, &subsets, divisor)?.value
            }
            // torch-fidelity's first input is what is evaluated, its second the reference.
            Self::TorchFidelityKid { subsets, size, seed } => {
                let subsets = KernelSubsets::torch_fidelity(m, n, subsets, size, seed)?;
                KernelDistance::of(others, real, &subsets)?.mean
            }
            Self::StyleGanKid { subsets, max_size, drawn_from } => {
                let noise = &mut Noise::from_state(drawn_from);
                let subsets = KernelSubsets::style_gan(n, m, subsets, max_size, noise)?;
                KernelDistance::of(real, others, &subsets)?.mean
            }
            Self::Cmmd => cmmd(real, others)?,
            Self::Precision { .. }
            | Self::Recall { .. }
            | Self::Density { .. }
            | Self::Coverage { .. } => {
                let families: Vec<Balls> = self.balls().into_iter().collect();
                self.share(occupancy(real, others, &families)?[0])
            }
        })
    }

    /// The values of several statistics, in their order; those that look for neighbors share one pass over the pairs.
    ///
    /// # Errors
    /// As [`SetStatistic::of`].
    ///
    /// # Example
    /// ```
    /// use metrics::{Boundary, Divisor, SetStatistic};
    /// let real = diffusion_core::Noise::new(0).normal_f64(&[100, 4]);
    /// let wanted = [SetStatistic::Coverage { k: 5 }, SetStatistic::Frechet, SetStatistic::Density { k: 5 }];
    /// let found = SetStatistic::all_of(&wanted, &real, &(&real * 0.5), Divisor::Sample)?;
    /// for (statistic, value) in wanted.into_iter().zip(found) {
    ///     assert_eq!(statistic.of(&real, &(&real * 0.5), Divisor::Sample)?, value);
    /// }
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn all_of(
        statistics: &[Self],
        real: &Tensor,
        others: &Tensor,
        divisor: Divisor,
    ) -> Result<Vec<f64>> {
        let mut families: Vec<Balls> = Vec::new();
        for balls in statistics.iter().filter_map(|statistic| statistic.balls()) {
            if !families.contains(&balls) {
                families.push(balls);
            }
        }
        let found =
            if families.is_empty() { Vec::new() } else { occupancy(real, others, &families)? };
        let value = |statistic: &Self| match statistic.balls() {
            Some(balls) => {
                let place = families.iter().position(|family| *family == balls);
                Ok(statistic.share(found[place.expect("every family was counted")]))
            }
            None => statistic.of(real, others, divisor),
        };
        statistics.iter().map(value).collect()
    }

    /// The balls that this statistic looks into.
    fn balls(self) -> Option<Balls> {
        let boundary = Boundary::Outside;
        match self {
            Self::Precision { k, boundary } => Some(Balls { centers: Centers::Real, k, boundary }),
            Self::Recall { k, boundary } => Some(Balls { centers: Centers::Others, k, boundary }),
            Self::Density { k } | Self::Coverage { k } => {
                Some(Balls { centers: Centers::Real, k, boundary })
            }
            _ => None,
        }
    }

    /// The value, from what is in those balls.
    fn share(self, found: Occupancy) -> f64 {
        match self {
            Self::Density { k } => found.balls / k as f64,
            Self::Coverage { .. } => found.occupied,
            _ => found.covered,
        }
    }

    /// Whether it takes the features of the real images, and not only their mean and covariance.
    pub fn needs_features(self) -> bool {
        !matches!(self, Self::Frechet | Self::FdInfinity { .. })
    }
}

fn gaussian(features: &Tensor, divisor: Divisor) -> Result<FrechetReference> {
    let stats = GaussianStats::of(features)?;
    FrechetReference::new(&stats.mean()?, &stats.covariance_by(divisor)?)
}
