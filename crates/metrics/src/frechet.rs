//! The Fréchet distance between two Gaussians.

use crate::{Error, GaussianStats, Result};
use tch::{Device, Kind, Tensor};

/// Eigenvalues below `-NEGATIVE_LIMIT` times the largest are no rounding error.
const NEGATIVE_LIMIT: f64 = 1e-6;

/// The squared Fréchet (2-Wasserstein) distance between the Gaussians with the statistics `a` and `b`.
///
/// Covariances have divisor `N - 1`; they may be singular (fewer vectors than dimensions). The value of a finite
/// sample is biased upwards, the more the fewer the vectors: compare only values of equal counts.
///
/// # Errors
/// [`Error::TooFew`] if a side has fewer than two vectors, [`Error::Dimension`] if the dimensions differ.
///
/// # Source
/// Heusel et al. 2017, arXiv:1706.08500, Eq. (6); see [`FrechetReference`] for the computation.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use metrics::{GaussianStats, frechet_distance};
/// let x = Noise::new(0).normal_f64(&[100, 3]);
/// let (a, b) = (GaussianStats::of(&x)?, GaussianStats::of(&(&x + 2.0))?);
/// assert!((frechet_distance(&a, &b)? - 12.0).abs() < 1e-9); // 3 dimensions, shifted by 2 each
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn frechet_distance(a: &GaussianStats, b: &GaussianStats) -> Result<f64> {
    frechet_distance_of_moments(&a.mean()?, &a.covariance()?, &b.mean()?, &b.covariance()?)
}

/// The squared Fréchet distance between the Gaussians `N(mean_a, cov_a)` and `N(mean_b, cov_b)`.
///
/// See [`FrechetReference`], which is faster if one side stays the same.
///
/// # Errors
/// Those of [`FrechetReference::new`] and [`FrechetReference::distance`].
pub fn frechet_distance_of_moments(
    mean_a: &Tensor,
    cov_a: &Tensor,
    mean_b: &Tensor,
    cov_b: &Tensor,
) -> Result<f64> {
    FrechetReference::new(mean_a, cov_a)?.distance(mean_b, cov_b)
}

/// A Gaussian that others are compared with: the matrix root is computed once.
///
/// ```text
/// |m_a - m_b|² + tr C_a + tr C_b - 2 Σ √λ_i,   λ = eigenvalues of C_a^½ C_b C_a^½
/// ```
///
/// The λ are those of `C_a C_b`, but the matrix is symmetric, so that a symmetric eigensolver in f64 does and no
/// complex root appears. Eigenvalues that rounding pushed below zero count as zero, and so does a distance.
///
/// # Source
/// Dowson and Landau 1982. Differs from NVlabs/edm `fid.py`, which takes the real part of a general matrix root: the
/// values agree to 1e-10, and to 1e-7 for singular covariances.
///
/// # Example
/// ```
/// use metrics::FrechetReference;
/// use tch::Tensor;
/// let (mean, spread) = (Tensor::from_slice(&[0.0, 1.0]), Tensor::from_slice(&[1.0, 4.0]));
/// let reference = FrechetReference::new(&mean, &spread.diag(0))?;
/// assert_eq!(reference.distance(&(&mean + 2.0), &spread.diag(0))?, 8.0);
/// assert_eq!(reference.distance(&mean, &(spread.diag(0) * 4.0))?, 1.0 + 4.0);
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug)]
pub struct FrechetReference {
    mean: Tensor,
    trace: f64,
    root: Tensor,
}

impl FrechetReference {
    /// The Gaussian `N(mean, covariance)`.
    ///
    /// # Shapes
    /// `[D]` and `[D, D]`, any floating-point kind; kept in f64 on the CPU. 2048 dimensions take seconds.
    ///
    /// # Errors
    /// - [`Error::MomentShapes`] if mean and covariance do not fit;
    /// - [`Error::NonFiniteMoments`] if there are NaN or infinite values;
    /// - [`Error::NotCovariance`] if an eigenvalue is far below zero.
    pub fn new(mean: &Tensor, covariance: &Tensor) -> Result<Self> {
        let (mean, covariance) = checked_moments(mean, covariance)?;
        let trace = covariance.trace().double_value(&[]);
        Ok(Self { mean, trace, root: symmetric_root(&covariance)? })
    }

    /// Entries of the mean.
    pub fn dim(&self) -> i64 {
        self.mean.size()[0]
    }

    /// The squared Fréchet distance from `N(mean, covariance)`.
    ///
    /// # Errors
    /// Those of [`FrechetReference::new`], and [`Error::Dimension`] if the dimensions differ.
    pub fn distance(&self, mean: &Tensor, covariance: &Tensor) -> Result<f64> {
        let (mean, covariance) = checked_moments(mean, covariance)?;
        let (expected, found) = (self.dim(), mean.size()[0]);
        if expected != found {
            return Err(Error::Dimension { expected, found });
        }
        let product = self.root.matmul(&covariance).matmul(&self.root);
        let lambda = clipped(&symmetrized(&product).f_linalg_eigvalsh("L")?)?;
        let mean_term = (&self.mean - mean).square().sum(Kind::Double).double_value(&[]);
        let traces = self.trace + covariance.trace().double_value(&[]);
        let trace_of_root = lambda.sqrt().sum(Kind::Double).double_value(&[]);
        Ok((mean_term + traces - 2.0 * trace_of_root).max(0.0))
    }
}

/// The moments in f64 on the CPU, the covariance exactly symmetric.
fn checked_moments(mean: &Tensor, covariance: &Tensor) -> Result<(Tensor, Tensor)> {
    let shapes = (mean.size(), covariance.size());
    if !matches!((&shapes.0[..], &shapes.1[..]), ([d], [rows, columns]) if d == rows && d == columns && *d >= 1)
    {
        return Err(Error::MomentShapes { mean: shapes.0, covariance: shapes.1 });
    }
    for (what, moment) in [("mean", mean), ("covariance", covariance)] {
        if moment.isfinite().all().int64_value(&[]) == 0 {
            return Err(Error::NonFiniteMoments { what });
        }
    }
    let host = |t: &Tensor| t.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    Ok((host(mean), symmetrized(&host(covariance))))
}

fn symmetrized(matrix: &Tensor) -> Tensor {
    (matrix + matrix.tr()) * 0.5
}

/// `V diag(√λ) Vᵀ` of a symmetric positive semidefinite matrix `V diag(λ) Vᵀ`.
fn symmetric_root(matrix: &Tensor) -> Result<Tensor> {
    let (lambda, v) = matrix.f_linalg_eigh("L")?;
    Ok((&v * clipped(&lambda)?.sqrt()).matmul(&v.tr()))
}

/// Ascending eigenvalues with those that rounding pushed below zero set to zero.
fn clipped(lambda: &Tensor) -> Result<Tensor> {
    let (smallest, largest) = (lambda.double_value(&[0]), lambda.double_value(&[-1]));
    if smallest < -NEGATIVE_LIMIT * largest.abs() {
        return Err(Error::NotCovariance { smallest, largest });
    }
    Ok(lambda.clamp_min(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    fn diagonal(mean: &[f64], spread: &[f64]) -> (Tensor, Tensor) {
        (Tensor::from_slice(mean), Tensor::from_slice(spread).square().diag(0))
    }

    #[test]
    fn diagonal_gaussians_have_a_closed_form() {
        let ((m1, c1), (m2, c2)) = (
            diagonal(&[0.0, 1.0, -2.0], &[1.0, 2.0, 0.5]),
            diagonal(&[3.0, 1.0, -1.0], &[0.25, 2.5, 0.0]),
        );
        let expected = 9.0 + 1.0 + 0.75f64.powi(2) + 0.5f64.powi(2) + 0.5f64.powi(2);
        let forth = frechet_distance_of_moments(&m1, &c1, &m2, &c2).unwrap();
        let back = frechet_distance_of_moments(&m2, &c2, &m1, &c1).unwrap();
        assert!((forth - expected).abs() < 1e-12, "{forth} instead of {expected}");
        assert!((back - expected).abs() < 1e-12, "{back} instead of {expected}");
    }

    #[test]
    fn correlated_gaussians_in_two_dimensions_have_a_closed_form() {
        let c1 = Tensor::from_slice(&[2.0, 0.5, 0.5, 1.0]).view([2, 2]);
        let c2 = Tensor::from_slice(&[1.0, -0.2, -0.2, 3.0]).view([2, 2]);
        let (m1, m2) = (Tensor::from_slice(&[1.0, -2.0]), Tensor::from_slice(&[0.0, 0.0]));
        // Of a 2x2 matrix M the root has the trace sqrt(tr M + 2 sqrt(det M)).
        let (trace, determinant): (f64, f64) = (2.0 - 0.1 - 0.1 + 3.0, 1.75 * 2.96);
        let expected = 5.0 + 3.0 + 4.0 - 2.0 * (trace + 2.0 * determinant.sqrt()).sqrt();
        let distance = frechet_distance_of_moments(&m1, &c1, &m2, &c2).unwrap();
        assert!((distance - expected).abs() < 1e-12, "{distance} instead of {expected}");
    }

    #[test]
    fn a_set_has_no_distance_from_itself_even_if_singular() {
        for n in [200, 7] {
            let stats = GaussianStats::of(&Noise::new(4).normal_f64(&[n, 20])).unwrap();
            let distance = frechet_distance(&stats, &stats).unwrap();
            assert!(distance < 1e-6, "{n} vectors of 20 entries: {distance}");
        }
        let zero = Tensor::zeros([2, 2], (Kind::Double, Device::Cpu));
        let (m1, m2) = (Tensor::from_slice(&[3.0, 0.0]), Tensor::from_slice(&[0.0, 4.0]));
        assert_eq!(frechet_distance_of_moments(&m1, &zero, &m2, &zero).unwrap(), 25.0);
    }

    #[test]
    fn moments_that_do_not_fit_are_refused() {
        let (mean, cov) = diagonal(&[0.0, 0.0], &[1.0, 1.0]);
        let (mean3, cov3) = diagonal(&[0.0; 3], &[1.0; 3]);
        let distance = |m: &Tensor, c: &Tensor| frechet_distance_of_moments(&mean, &cov, m, c);
        assert!(matches!(distance(&mean, &cov3), Err(Error::MomentShapes { .. })));
        assert!(matches!(distance(&mean3, &cov3), Err(Error::Dimension { expected: 2, found: 3 })));
        let nan = distance(&(&mean * f64::NAN), &cov);
        assert!(matches!(nan, Err(Error::NonFiniteMoments { what: "mean" })));
        let infinite = distance(&mean, &(&cov + f64::INFINITY));
        assert!(matches!(infinite, Err(Error::NonFiniteMoments { what: "covariance" })));
    }

    #[test]
    fn a_matrix_that_is_no_covariance_is_refused() {
        let (mean, cov) = diagonal(&[0.0, 0.0], &[1.0, 1.0]);
        let indefinite = Tensor::from_slice(&[1.0, 0.0, 0.0, -0.5]).view([2, 2]);
        let forth = frechet_distance_of_moments(&mean, &indefinite, &mean, &cov).unwrap_err();
        let back = frechet_distance_of_moments(&mean, &cov, &mean, &indefinite).unwrap_err();
        assert!(matches!(forth, Error::NotCovariance { smallest, .. } if smallest == -0.5));
        assert!(matches!(back, Error::NotCovariance { .. }));
    }
}
