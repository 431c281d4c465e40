//! Mean and covariance of a stream of feature vectors.

use crate::image_shape::{is_floating_point, non_finite_rows};
use crate::{Divisor, Error, Result};
use tch::{Device, Kind, Tensor};

/// Vectors that are converted to f64 at a time.
const BLOCK_ROWS: i64 = 1024;

/// Streaming mean and covariance of feature vectors, in f64.
///
/// Keeps the count, the mean and the scatter matrix about the mean, and joins batches by Chan's formula. Unlike raw
/// sums of outer products this loses no digits when the mean is large beside the spread; the values agree otherwise.
///
/// ```text
/// n = n_a + n_b,   d = m_b - m_a,   m = m_a + d n_b / n,   S = S_a + S_b + d dᵀ n_a n_b / n
/// ```
///
/// # Source
/// Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
///
/// # Example
/// ```
/// use metrics::GaussianStats;
/// use tch::Tensor;
/// let mut stats = GaussianStats::new(2);
/// stats.update(&Tensor::from_slice(&[0f32, 0.0, 2.0, 4.0]).view([2, 2]))?;
/// assert_eq!(Vec::<f64>::try_from(stats.mean()?).unwrap(), [1.0, 2.0]);
/// assert_eq!(stats.covariance()?.double_value(&[0, 1]), 4.0);
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug)]
pub struct GaussianStats {
    n: i64,
    mean: Tensor,
    scatter: Tensor,
}

impl GaussianStats {
    /// No vectors yet; those to come have `dim` entries.
    ///
    /// # Panics
    /// If `dim < 1`.
    pub fn new(dim: i64) -> Self {
        assert!(dim >= 1, "feature vectors need at least one entry, not {dim}");
        let options = (Kind::Double, Device::Cpu);
        Self {
            n: 0,
            mean: Tensor::zeros([dim], options),
            scatter: Tensor::zeros([dim, dim], options),
        }
    }

    /// The statistics of one set of vectors, `[N, D]`.
    ///
    /// # Errors
    /// As [`GaussianStats::update`].
    pub fn of(features: &Tensor) -> Result<Self> {
        let dim = feature_dim(features)?;
        let mut stats = Self::new(dim);
        stats.update(features)?;
        Ok(stats)
    }

    /// Takes in more vectors: `[N, D]`, any floating-point kind, any device.
    ///
    /// # Errors
    /// - [`Error::NotFeatures`] if the tensor is not `[N, D]` of floating-point numbers;
    /// - [`Error::Dimension`] if `D` is not this statistic's;
    /// - [`Error::NonFiniteFeatures`] if there are NaN or infinite values.
    pub fn update(&mut self, features: &Tensor) -> Result<()> {
        self.require_dim(feature_dim(features)?)?;
        if let Some((count, first)) = non_finite_rows(features) {
            return Err(Error::NonFiniteFeatures { count, first });
        }
        for block in features.detach().split(BLOCK_ROWS, 0) {
            self.take_in(&block.to_device(Device::Cpu).to_kind(Kind::Double));
        }
        Ok(())
    }

    fn take_in(&mut self, x: &Tensor) {
        let n = x.size()[0];
        if n > 0 {
            let mean = x.mean_dim(0, false, None);
            let centered = x - &mean;
            let _ = self.scatter.addmm_(&centered.tr(), &centered);
            self.shift(n, &mean);
        }
    }

    /// Joins the statistics of other vectors of the same length.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the lengths differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.require_dim(other.dim())?;
        if other.n > 0 {
            self.scatter += &other.scatter;
            self.shift(other.n, &other.mean);
        }
        Ok(())
    }

    /// Number of vectors taken in.
    pub fn count(&self) -> i64 {
        self.n
    }

    /// Entries of one vector.
    pub fn dim(&self) -> i64 {
        self.mean.size()[0]
    }

    /// The mean, `[D]`, f64, on the CPU.
    ///
    /// # Errors
    /// [`Error::TooFew`] without any vector.
    pub fn mean(&self) -> Result<Tensor> {
        self.require_count(1)?;
        Ok(self.mean.copy())
    }

    /// The covariance with divisor `N - 1`, `[D, D]`, f64, on the CPU: the one of EDM, pytorch-fid and clean-fid.
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer than two vectors.
    pub fn covariance(&self) -> Result<Tensor> {
        self.covariance_by(Divisor::Sample)
    }

    /// The covariance with a divisor of choice, `[D, D]`, f64, on the CPU.
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer than [`Divisor::least`] vectors.
    pub fn covariance_by(&self, divisor: Divisor) -> Result<Tensor> {
        self.require_count(divisor.least())?;
        let divisor = match divisor {
            Divisor::Sample => self.n - 1,
            Divisor::Population => self.n,
        };
        Ok(&self.scatter / divisor as f64)
    }

    /// Joins `n` vectors of that mean, whose scatter about it was added: no other matrix of its size is made.
    fn shift(&mut self, n: i64, mean: &Tensor) {
        let total = self.n + n;
        let d = mean - &self.mean;
        let share = n as f64 / total as f64;
        let scaled = &d * (self.n as f64 * share).sqrt();
        let _ = self.scatter.addr_(&scaled, &scaled);
        self.mean = &self.mean + d * share;
        self.n = total;
    }

    fn require_dim(&self, found: i64) -> Result<()> {
        let expected = self.dim();
        if found == expected { Ok(()) } else { Err(Error::Dimension { expected, found }) }
    }

    fn require_count(&self, needed: i64) -> Result<()> {
        if self.n >= needed { Ok(()) } else { Err(Error::TooFew { found: self.n, needed }) }
    }
}

/// `D` of features `[N, D]`.
pub(crate) fn feature_dim(features: &Tensor) -> Result<i64> {
    match features.size()[..] {
        [_, dim] if dim >= 1 && is_floating_point(features) => Ok(dim),
        _ => Err(Error::NotFeatures { shape: features.size(), kind: features.kind() }),
    }
}

/// The length of the vectors of two sets, `[N, D]` and `[M, D]`, which must be the same.
pub(crate) fn common_dim(x: &Tensor, y: &Tensor) -> Result<i64> {
    let (expected, found) = (feature_dim(x)?, feature_dim(y)?);
    if expected == found { Ok(expected) } else { Err(Error::Dimension { expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn streaming_in_any_order_and_merging_equal_one_batch() {
        let x = Noise::new(1).normal_f64(&[30, 4]) + 3.0;
        let whole = GaussianStats::of(&x).unwrap();
        let mut streamed = GaussianStats::new(4);
        for (start, length) in [(17, 13), (0, 1), (1, 16)] {
            streamed.update(&x.narrow(0, start, length)).unwrap();
        }
        let mut merged = GaussianStats::new(4);
        merged.merge(&GaussianStats::of(&x.narrow(0, 0, 11)).unwrap()).unwrap();
        merged.merge(&GaussianStats::new(4)).unwrap();
        merged.merge(&GaussianStats::of(&x.narrow(0, 11, 19)).unwrap()).unwrap();
        for stats in [streamed, merged] {
            assert_eq!(stats.count(), 30);
            assert!(largest_difference(&stats.mean().unwrap(), &whole.mean().unwrap()) < 1e-14);
            let (a, b) = (stats.covariance().unwrap(), whole.covariance().unwrap());
            assert!(largest_difference(&a, &b) < 1e-14);
        }
    }

    #[test]
    fn more_vectors_than_a_block_are_the_same() {
        let x = Noise::new(3).normal_f64(&[BLOCK_ROWS + 7, 2]) + 1.0;
        let stats = GaussianStats::of(&x).unwrap();
        assert_eq!(stats.count(), BLOCK_ROWS + 7);
        let centered = &x - x.mean_dim(0, false, None);
        let covariance = centered.tr().matmul(&centered) / (BLOCK_ROWS + 6) as f64;
        assert!(largest_difference(&stats.covariance().unwrap(), &covariance) < 1e-14);
    }

    #[test]
    fn a_large_mean_costs_no_digits() {
        let x = Tensor::from_slice(&[1e8, 1e8 + 1.0, 1e8 + 2.0, 1e8 + 5.0]).view([4, 1]);
        let mut stats = GaussianStats::new(1);
        for row in 0..4 {
            stats.update(&x.narrow(0, row, 1)).unwrap();
        }
        // Deviations from the mean 1e8 + 2 are -2, -1, 0, 3.
        assert!((stats.covariance().unwrap().double_value(&[0, 0]) - 14.0 / 3.0).abs() < 1e-6);
        assert!(
            (stats.covariance_by(Divisor::Population).unwrap().double_value(&[0, 0]) - 3.5).abs()
                < 1e-6
        );
    }

    #[test]
    fn too_few_vectors_are_an_error() {
        let stats = GaussianStats::of(&Tensor::ones([1, 3], (Kind::Float, Device::Cpu))).unwrap();
        assert!(stats.mean().is_ok());
        assert!(matches!(stats.covariance(), Err(Error::TooFew { found: 1, needed: 2 })));
        assert!(matches!(GaussianStats::new(3).mean(), Err(Error::TooFew { found: 0, needed: 1 })));
    }

    #[test]
    fn bad_features_are_named_and_change_nothing() {
        let mut stats = GaussianStats::of(&Noise::new(2).normal(&[5, 3])).unwrap();
        let before = stats.covariance().unwrap();
        let nan = Tensor::zeros([4, 3], (Kind::Float, Device::Cpu));
        let _ = nan.get(2).fill_(f64::NAN);
        let error = stats.update(&nan).unwrap_err();
        assert!(matches!(error, Error::NonFiniteFeatures { count: 1, first: 2 }));
        let error = stats.update(&Noise::new(2).normal(&[5, 4])).unwrap_err();
        assert!(matches!(error, Error::Dimension { expected: 3, found: 4 }));
        let error = stats.update(&Noise::new(2).normal(&[3])).unwrap_err();
        assert!(matches!(error, Error::NotFeatures { shape, .. } if shape == [3]));
        let error = stats.merge(&GaussianStats::new(2)).unwrap_err();
        assert!(matches!(error, Error::Dimension { expected: 3, found: 2 }));
        assert_eq!(stats.count(), 5);
        assert_eq!(stats.covariance().unwrap(), before);
    }
}
