//! The maximum mean discrepancy of CLIP embeddings.

use crate::Result;
use crate::pairwise::Pairs;
use tch::{Kind, Tensor};

/// The width of the published kernel.
pub const CMMD_SIGMA: f64 = 10.0;
/// The published scale.
const SCALE: f64 = 1000.0;

/// CMMD: a thousand times the squared maximum mean discrepancy with a Gaussian kernel of width [`CMMD_SIGMA`].
///
/// ```text
/// 1000 ( mean k(x, x') + mean k(y, y') - 2 mean k(x, y) ),   k(a, b) = exp(-|a - b|² / (2 · 10²))
/// ```
///
/// Means include the pairs of a vector with itself, so that the value is never negative and biased upwards.
///
/// # Shapes
/// `x`: `[N, D]`; `y`: `[M, D]`: CLIP image embeddings of unit length. Computed in f64 on the CPU, in bounded memory.
///
/// # Errors
/// [`NotFeatures`](crate::Error::NotFeatures), [`Dimension`](crate::Error::Dimension), [`TooFew`](crate::Error::TooFew) or
/// [`NonFiniteFeatures`](crate::Error::NonFiniteFeatures) for unusable sets.
///
/// # Source
/// Jayasumana et al. 2024, arXiv:2401.09603; sayakpaul/cmmd-pytorch `distance.py`. Differs: f64; in f32 the means cancel
/// to a few digits.
///
/// # Example
/// ```
/// let r = 0.5f64.sqrt();
/// let x = tch::Tensor::from_slice(&[1.0, 0.0, 0.0, 1.0, r, r]).view([3, 2]);
/// let y = tch::Tensor::from_slice(&[0.0, 1.0, 0.6, 0.8, 1.0, 0.0]).view([3, 2]);
/// assert!((metrics::cmmd(&x, &y)? - 0.022333336205).abs() < 1e-9);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn cmmd(x: &Tensor, y: &Tensor) -> Result<f64> {
    let within = mean_distance_kernel(x, x)? + mean_distance_kernel(y, y)?;
    Ok(SCALE * (within - 2.0 * mean_distance_kernel(x, y)?))
}

/// The mean of `k - 1` over all pairs: the ones cancel in the sum, and `exp_m1` keeps the digits they would cost.
fn mean_distance_kernel(x: &Tensor, y: &Tensor) -> Result<f64> {
    let gamma = 1.0 / (2.0 * CMMD_SIGMA * CMMD_SIGMA);
    let pairs = Pairs::new(x, y)?;
    let sum: f64 = pairs
        .squared_distances()
        .map(|block| (block * -gamma).expm1().sum(Kind::Double).double_value(&[]))
        .sum();
    Ok(sum / (x.size()[0] * y.size()[0]) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    fn unit_rows(seed: u64, n: i64) -> Tensor {
        crate::random_directions(n, 16, &mut Noise::new(seed))
    }

    #[test]
    fn a_set_has_no_distance_from_itself_in_any_order() {
        let x = unit_rows(1, 50);
        assert!(cmmd(&x, &x.flip([0])).unwrap().abs() < 1e-11);
    }

    #[test]
    fn it_is_symmetric_and_positive() {
        let (x, y) = (unit_rows(1, 50), unit_rows(2, 30).abs());
        let (forth, back) = (cmmd(&x, &y).unwrap(), cmmd(&y, &x).unwrap());
        assert!(forth > 0.1 && (forth - back).abs() < 1e-11, "{forth} {back}");
    }

    #[test]
    fn single_points_have_a_closed_form() {
        let (x, y) =
            (Tensor::from_slice(&[0.0]).view([1, 1]), Tensor::from_slice(&[20.0]).view([1, 1]));
        let expected = 2000.0 * (1.0 - (-2.0f64).exp());
        assert!((cmmd(&x, &y).unwrap() - expected).abs() < 1e-9);
    }
}
