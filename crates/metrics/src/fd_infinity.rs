//! The Fréchet distance for infinitely many images.

use crate::{Divisor, Error, FrechetReference, GaussianStats, Result};
use diffusion_core::Noise;
use tch::{Kind, Tensor};

/// Sizes of subsets that the published extrapolation uses.
pub const FD_INFINITY_POINTS: usize = 15;

/// The Fréchet distance of a finite set of images, extrapolated to infinitely many.
///
/// The bias of a Fréchet distance falls as one over the number of images. Distances of subsets of several sizes lie on a
/// line over `1 / n`; its intercept does not depend on how many images there are.
///
/// # Source
/// Chong and Forsyth 2020, arXiv:1911.07023; sizes and fit of layer6ai-labs/dgm-eval `dgm_eval/metrics/fd.py`. Differs:
/// the subsets come from a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct FdInfinity {
    /// The intercept of the line: the distance at `1 / n = 0`. It can be negative.
    pub value: f64,
    /// The slope of the line over `1 / n`.
    pub slope: f64,
    /// The sizes of the subsets.
    pub sizes: Vec<i64>,
    /// The distance of each subset.
    pub distances: Vec<f64>,
}

impl FdInfinity {
    /// Extrapolates from the rows `subsets` of `features`, `[N, D]`, with covariances by `divisor`.
    ///
    /// # Errors
    /// - [`Error::NotFeatures`], [`Error::Dimension`], [`Error::NonFiniteFeatures`] for unusable features;
    /// - [`Error::TooFew`] if a subset has fewer than two rows, or there are fewer than two sizes;
    /// - [`Error::Index`] for a row that is not there.
    pub fn of_subsets(
        reference: &FrechetReference,
        features: &Tensor,
        subsets: &[Vec<i64>],
        divisor: Divisor,
    ) -> Result<Self> {
        let distances = subsets.iter().map(|rows| {
            let stats = GaussianStats::of(&chosen_rows(features, rows)?)?;
            reference.distance(&stats.mean()?, &stats.covariance_by(divisor)?)
        });
        let distances = distances.collect::<Result<Vec<f64>>>()?;
        let sizes: Vec<i64> = subsets.iter().map(|rows| rows.len() as i64).collect();
        let inverse: Vec<f64> = sizes.iter().map(|&size| 1.0 / size as f64).collect();
        let (value, slope) = line(&inverse, &distances)?;
        Ok(Self { value, slope, sizes, distances })
    }
}

/// The sizes of the published extrapolation of `n` images: from a tenth of them, but at most 5,000, to all of them.
///
/// ```
/// assert_eq!(metrics::fd_infinity_sizes(400, 3), [40, 220, 400]);
/// ```
pub fn fd_infinity_sizes(n: i64, points: usize) -> Vec<i64> {
    let least = (n / 10).clamp(2, 5000) as f64;
    let step = (n as f64 - least) / points.saturating_sub(1).max(1) as f64;
    let size = |point| if point + 1 == points { n } else { (point as f64 * step + least) as i64 };
    (0..points).map(size).collect()
}

/// Rows of the published extrapolation of `n` images: [`FD_INFINITY_POINTS`] subsets, each drawn without replacement.
pub fn fd_infinity_subsets(n: i64, noise: &mut Noise) -> Vec<Vec<i64>> {
    let subset = |size| -> Vec<i64> {
        let order = noise.permutation(n as usize);
        order.into_iter().take(size as usize).map(|row| row as i64).collect()
    };
    fd_infinity_sizes(n, FD_INFINITY_POINTS).into_iter().map(subset).collect()
}

/// The rows of a matrix, each of which must be there.
pub(crate) fn chosen_rows(features: &Tensor, rows: &[i64]) -> Result<Tensor> {
    let n = features.size().first().copied().unwrap_or(0);
    match rows.iter().find(|row| !(0..n).contains(*row)) {
        Some(&index) => Err(Error::Index { index, rows: n }),
        None => {
            Ok(features.index_select(0, &Tensor::from_slice(rows).to_device(features.device())))
        }
    }
}

/// Intercept and slope of the least-squares line.
fn line(x: &[f64], y: &[f64]) -> Result<(f64, f64)> {
    let mean = |values: &Tensor| values.mean(Kind::Double);
    let (x, y) = (Tensor::from_slice(x), Tensor::from_slice(y));
    if x.numel() < 2 {
        return Err(Error::TooFew { found: x.numel() as i64, needed: 2 });
    }
    let centered = &x - mean(&x);
    let spread = centered.square().sum(Kind::Double).double_value(&[]);
    if spread == 0.0 {
        return Err(Error::TooFew { found: 1, needed: 2 });
    }
    let slope = (&centered * (&y - mean(&y))).sum(Kind::Double).double_value(&[]) / spread;
    Ok((mean(&y).double_value(&[]) - slope * mean(&x).double_value(&[]), slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found() {
        let x = [0.5, 0.25, 0.1, 0.05];
        let (intercept, slope) = line(&x, &x.map(|x| 3.0 - 2.0 * x)).unwrap();
        assert!((intercept - 3.0).abs() < 1e-14 && (slope + 2.0).abs() < 1e-14);
        assert!(matches!(line(&[0.5], &[1.0]), Err(Error::TooFew { found: 1, needed: 2 })));
        assert!(matches!(line(&[0.5, 0.5], &[1.0, 2.0]), Err(Error::TooFew { .. })));
    }

    #[test]
    fn sizes_span_the_published_range() {
        let sizes = fd_infinity_sizes(50_000, FD_INFINITY_POINTS);
        assert_eq!((sizes[0], sizes[14], sizes.len()), (5000, 50_000, 15));
        assert_eq!(fd_infinity_sizes(1_000_000, 2), [5000, 1_000_000]);
        assert_eq!(fd_infinity_sizes(8, 3), [2, 5, 8]);
    }

    #[test]
    fn the_bias_of_few_images_is_removed() {
        let mut noise = Noise::new(5);
        let options = (Kind::Double, tch::Device::Cpu);
        let standard =
            FrechetReference::new(&Tensor::zeros([8], options), &Tensor::eye(8, options)).unwrap();
        let features = noise.normal_f64(&[600, 8]);
        let subsets = fd_infinity_subsets(600, &mut noise);
        let fit = FdInfinity::of_subsets(&standard, &features, &subsets, Divisor::Sample).unwrap();
        assert!(fit.distances[0] > 5.0 * fit.value.abs() && fit.slope > 0.0, "{fit:?}");
    }

    #[test]
    fn a_row_that_is_not_there_is_named() {
        let features = Noise::new(0).normal_f64(&[5, 2]);
        let error = chosen_rows(&features, &[0, 5]).unwrap_err();
        assert!(matches!(error, Error::Index { index: 5, rows: 5 }));
    }
}
