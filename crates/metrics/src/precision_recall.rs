//! Precision and recall, density and coverage.

use crate::manifold::{Balls, Centers, occupancy};
use crate::{Boundary, Result};
use tch::Tensor;

/// How many images look real, and how much of what is real is made.
///
/// Both are shares between 0 and 1. Values depend on the features (VGG16 in the StyleGAN line, Inception in the ADM
/// line), on `k` and on the numbers of images: only equal recipes compare.
///
/// # Source
/// Kynkäänniemi et al. 2019, arXiv:1904.06991; with [`Boundary::Inside`] the code of StyleGAN2-ADA, torch-fidelity and
/// the ADM evaluator, with [`Boundary::Outside`] that of the package `prdc`. Differs: f64 throughout, where StyleGAN2-ADA
/// and the ADM evaluator use f16; a few samples in a hundred may fall otherwise there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionRecall {
    /// The share of generated samples within the `k`-th neighbor's distance of a real one.
    pub precision: f64,
    /// The share of real samples within the `k`-th neighbor's distance of a generated one.
    pub recall: f64,
}

impl PrecisionRecall {
    /// Compares features of real and of generated images, `[N, D]` and `[M, D]`.
    ///
    /// # Errors
    /// - [`NotPositive`](crate::Error::NotPositive) for `k < 1`; [`TooFew`](crate::Error::TooFew) for `k` samples or fewer;
    /// - [`NotFeatures`](crate::Error::NotFeatures), [`Dimension`](crate::Error::Dimension) or
    ///   [`NonFiniteFeatures`](crate::Error::NonFiniteFeatures) for unusable features.
    ///
    /// # Example
    /// ```
    /// use metrics::{Boundary, PrecisionRecall};
    /// let real = diffusion_core::Noise::new(0).normal_f64(&[200, 2]);
    /// let half = &real * 0.2; // images like the mean, no others
    /// let found = PrecisionRecall::of(&real, &half, 3, Boundary::Inside)?;
    /// assert!(found.precision > 0.9 && found.recall < 0.6);
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn of(real: &Tensor, generated: &Tensor, k: i64, boundary: Boundary) -> Result<Self> {
        let families =
            [Centers::Real, Centers::Others].map(|centers| Balls { centers, k, boundary });
        let found = occupancy(real, generated, &families)?;
        Ok(Self { precision: found[0].covered, recall: found[1].covered })
    }
}

/// Precision and recall that outliers do not move: both count balls around real samples.
///
/// A real outlier has a large ball, which makes precision generous; density counts how many balls a sample is in, and
/// coverage how many balls have a sample in them.
///
/// # Source
/// Naeem et al. 2020, arXiv:2002.09797, Eq. (4) and (5), and the package `prdc`: strictly inside of a ball.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DensityCoverage {
    /// The mean number of real balls that a generated sample is in, divided by `k`. It can exceed 1.
    pub density: f64,
    /// The share of real balls that a generated sample is in.
    pub coverage: f64,
}

impl DensityCoverage {
    /// Compares features of real and of generated images, `[N, D]` and `[M, D]`.
    ///
    /// # Errors
    /// As [`PrecisionRecall::of`].
    pub fn of(real: &Tensor, generated: &Tensor, k: i64) -> Result<Self> {
        let balls = Balls { centers: Centers::Real, k, boundary: Boundary::Outside };
        let found = occupancy(real, generated, &[balls])?[0];
        Ok(Self { density: found.balls / k as f64, coverage: found.occupied })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use diffusion_core::Noise;

    fn of(real: &Tensor, generated: &Tensor) -> PrecisionRecall {
        PrecisionRecall::of(real, generated, 3, Boundary::Inside).unwrap()
    }

    #[test]
    fn a_set_covers_itself() {
        let x = Noise::new(1).normal_f64(&[60, 4]);
        assert_eq!(of(&x, &x), PrecisionRecall { precision: 1.0, recall: 1.0 });
        let DensityCoverage { density, coverage } = DensityCoverage::of(&x, &x, 3).unwrap();
        // Every ball has its center and the two nearer neighbors strictly inside.
        assert_eq!((density, coverage), (1.0, 1.0));
    }

    #[test]
    fn exchanging_the_sets_exchanges_precision_and_recall_and_order_is_nothing() {
        let mut noise = Noise::new(2);
        let (x, y) = (noise.normal_f64(&[80, 4]), noise.normal_f64(&[50, 4]) * 0.7);
        let (forth, back) = (of(&x, &y), of(&y, &x));
        assert_eq!((forth.precision, forth.recall), (back.recall, back.precision));
        assert!(forth.precision > forth.recall);
        assert_eq!(of(&x.flip([0]), &y.flip([0])), forth);
        let density = DensityCoverage::of(&x, &y, 5).unwrap();
        assert_eq!(DensityCoverage::of(&x.flip([0]), &y.flip([0]), 5).unwrap(), density);
    }

    #[test]
    fn sets_apart_share_nothing() {
        let x = Noise::new(3).normal_f64(&[40, 4]);
        let apart = &x + 1000.0;
        assert_eq!(of(&x, &apart), PrecisionRecall { precision: 0.0, recall: 0.0 });
        let nothing = DensityCoverage { density: 0.0, coverage: 0.0 };
        assert_eq!(DensityCoverage::of(&x, &apart, 3).unwrap(), nothing);
    }

    #[test]
    fn unusable_sets_are_refused() {
        let x = Noise::new(4).normal_f64(&[10, 4]);
        let few = PrecisionRecall::of(&x, &x.narrow(0, 0, 3), 3, Boundary::Inside);
        assert!(matches!(few, Err(Error::TooFew { found: 3, needed: 4 })));
        let other = DensityCoverage::of(&x, &x.narrow(1, 0, 2), 3);
        assert!(matches!(other, Err(Error::Dimension { .. })));
    }
}
