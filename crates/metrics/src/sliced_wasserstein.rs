//! The sliced Wasserstein distance.

use crate::gaussian_stats::{common_dim, feature_dim};
use crate::image_shape::non_finite_rows;
use crate::{Error, Result};
use diffusion_core::Noise;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// The exponent `p` of a Wasserstein distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// `W1`: the mean of |Δ| over matched pairs and directions.
    One,
    /// `W2`: the root of the mean of Δ².
    Two,
}

/// The sliced Wasserstein distance between two sets of vectors.
///
/// In one dimension the best matching of two sets is the sorted one, so every direction costs a projection and a sort.
///
/// ```text
/// W_p = ( mean over directions of ∫₀¹ |F⁻¹(u) - G⁻¹(u)|^p du )^(1/p),   F, G: projected empirical distributions
/// ```
///
/// For sets of equal size the integral is the mean over pairs in sorted order; for others it is exact too, over the
/// common steps of both quantile functions.
///
/// # Shapes
/// `x`: `[N, D]`; `y`: `[M, D]`; `directions`: `[L, D]`, unit rows ([`random_directions`]). Computed in f64 on the CPU.
///
/// # Units
/// Those of the vectors.
///
/// # Errors
/// [`Error::NotFeatures`], [`Error::Dimension`], [`Error::NonFiniteFeatures`], [`Error::TooFew`] for unusable sets.
///
/// # Source
/// Rabin et al. 2011; Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
///
/// # Example
/// ```
/// use metrics::{Order, sliced_wasserstein};
/// use tch::Tensor;
/// let x = Tensor::from_slice(&[0f32, 1.0, 5.0]).view([3, 1]);
/// let y = Tensor::from_slice(&[6f32, 0.0, 3.0]).view([3, 1]);
/// let directions = Tensor::from_slice(&[1.0]).view([1, 1]);
/// assert_eq!(sliced_wasserstein(&x, &y, &directions, Order::One)?, (0.0 + 2.0 + 1.0) / 3.0);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn sliced_wasserstein(
    x: &Tensor,
    y: &Tensor,
    directions: &Tensor,
    order: Order,
) -> Result<f64> {
    let [x, y] = [project(x, directions)?, project(y, directions)?];
    distance_of_sorted(&x.sort(0, false).0, &y.sort(0, false).0, order)
}

/// The sliced Wasserstein-2 distance in high dimension, approximated without any direction.
///
/// Projections of many weakly dependent coordinates are nearly normal, so that means and mean squared lengths suffice:
///
/// ```text
/// √( |m_x - m_y|² / D + ( √(E|x - m_x|² / D) - √(E|y - m_y|² / D) )² )
/// ```
///
/// # Shapes
/// `x`: `[N, D]`; `y`: `[M, D]`. Computed in f64 on the CPU.
///
/// # Errors
/// As [`sliced_wasserstein`].
///
/// # Source
/// Nadjahi et al. 2021, arXiv:2106.15427; layer6ai-labs/dgm-eval `dgm_eval/metrics/sw.py`.
///
/// # Example
/// ```
/// use metrics::sliced_wasserstein_approximation;
/// let x = diffusion_core::Noise::new(0).normal_f64(&[50, 8]);
/// let shifted = sliced_wasserstein_approximation(&x, &(&x + 0.5))?;
/// assert!((shifted - 0.5).abs() < 1e-12);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn sliced_wasserstein_approximation(x: &Tensor, y: &Tensor) -> Result<f64> {
    let (x, y) = (checked(x)?, checked(y)?);
    common_dim(&x, &y)?;
    let mean = |set: &Tensor| set.mean_dim(0, false, Kind::Double);
    let spread =
        |set: &Tensor| (set - mean(set)).square().mean(Kind::Double).sqrt().double_value(&[]);
    let shift = (mean(&x) - mean(&y)).square().mean(Kind::Double).double_value(&[]);
    Ok((shift + (spread(&x) - spread(&y)).powi(2)).sqrt())
}

/// `n` directions in `dim` dimensions, uniform on the sphere: `[n, dim]`, f64, unit rows, on the CPU.
pub fn random_directions(n: i64, dim: i64, noise: &mut Noise) -> Tensor {
    let gaussian = noise.normal_f64(&[n, dim]).to_device(Device::Cpu);
    let length = gaussian.square().sum_dim_intlist(1, true, None).sqrt();
    gaussian / length
}

/// Projections `[N, L]` of vectors `[N, D]` onto directions `[L, D]`.
pub(crate) fn project(vectors: &Tensor, directions: &Tensor) -> Result<Tensor> {
    let (found, expected) = (feature_dim(vectors)?, feature_dim(directions)?);
    if found != expected {
        return Err(Error::Dimension { expected, found });
    }
    Ok(checked(vectors)?.matmul(&checked(directions)?.tr()))
}

/// Usable vectors `[N, D]` with `N >= 1`, in f64 on the CPU.
pub(crate) fn checked(vectors: &Tensor) -> Result<Tensor> {
    Ok(on_host(vectors)?.to_kind(Kind::Double))
}

/// Usable vectors `[N, D]` with `N >= 1`, in their own kind on the CPU.
pub(crate) fn on_host(vectors: &Tensor) -> Result<Tensor> {
    feature_dim(vectors)?;
    if vectors.size()[0] == 0 {
        return Err(Error::TooFew { found: 0, needed: 1 });
    }
    match non_finite_rows(vectors) {
        Some((count, first)) => Err(Error::NonFiniteFeatures { count, first }),
        None => Ok(vectors.detach().to_device(Device::Cpu)),
    }
}

/// The distance between sorted projections `[N, L]` and `[M, L]`.
pub(crate) fn distance_of_sorted(x: &Tensor, y: &Tensor, order: Order) -> Result<f64> {
    let steps = common_steps(x.size()[0], y.size()[0]);
    let rows = |set: &Tensor, index: &[i64]| set.index_select(0, &Tensor::from_slice(index));
    let gaps = (rows(x, &steps.left) - rows(y, &steps.right)).abs();
    let weights = Tensor::from_slice(&steps.lengths).unsqueeze(1);
    let mean = |gaps: Tensor| {
        (gaps * &weights).sum_dim_intlist(0, false, None).mean(Kind::Double).double_value(&[])
    };
    Ok(match order {
        Order::One => mean(gaps),
        Order::Two => mean(gaps.square()).sqrt(),
    })
}

/// The pieces on which the quantile functions of `n` and of `m` sorted values are both constant.
struct CommonSteps {
    left: Vec<i64>,
    right: Vec<i64>,
    lengths: Vec<f64>,
}

fn common_steps(n: i64, m: i64) -> CommonSteps {
    let mut steps = CommonSteps { left: Vec::new(), right: Vec::new(), lengths: Vec::new() };
    // Positions count in units of 1 / (n m), so that the comparison of (i + 1) / n with (j + 1) / m is exact.
    let (mut i, mut j, mut position) = (0, 0, 0);
    while i < n && j < m {
        let (end_left, end_right) = ((i + 1) * m, (j + 1) * n);
        let end = end_left.min(end_right);
        steps.left.push(i);
        steps.right.push(j);
        steps.lengths.push((end - position) as f64 / (n as f64 * m as f64));
        position = end;
        i += i64::from(end == end_left);
        j += i64::from(end == end_right);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_different_sizes_are_compared_exactly_and_symmetrically() {
        let column = |values: &[f64]| Tensor::from_slice(values).view([-1, 1]);
        let (x, y) = (column(&[0.0, 1.0]), column(&[0.0, 3.0, 1.0]));
        let axis = column(&[1.0]);
        // Quantiles: 0 | 0 -> 0 | 1 on [1/3, 1/2], 1 | 1 on [1/2, 2/3], 1 | 3 on [2/3, 1].
        let expected = [1.0 / 6.0 + 2.0 / 3.0, (1.0f64 / 6.0 + 4.0 / 3.0).sqrt()];
        for (order, expected) in [Order::One, Order::Two].into_iter().zip(expected) {
            let forth = sliced_wasserstein(&x, &y, &axis, order).unwrap();
            let back = sliced_wasserstein(&y, &x, &axis, order).unwrap();
            assert!((forth - expected).abs() < 1e-15, "{forth} instead of {expected}");
            assert_eq!(forth, back);
        }
    }

    #[test]
    fn directions_must_fit_the_vectors() {
        let x = Noise::new(0).normal(&[4, 3]);
        let distance = |y: &Tensor, dim| {
            let directions = random_directions(2, dim, &mut Noise::new(1));
            sliced_wasserstein(&x, y, &directions, Order::One)
        };
        assert!(matches!(distance(&x, 2), Err(Error::Dimension { expected: 2, found: 3 })));
        assert!(matches!(distance(&x.narrow(0, 0, 0), 3), Err(Error::TooFew { .. })));
    }
}
