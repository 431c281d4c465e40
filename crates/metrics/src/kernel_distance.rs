//! The kernel inception distance.

use crate::fd_infinity::chosen_rows;
use crate::pairwise::Pairs;
use crate::{Error, NumpyRandom, Result};
use diffusion_core::Noise;
use tch::{Kind, Tensor};

/// The unbiased squared maximum mean discrepancy of two sets of features with the kernel of KID.
///
/// ```text
/// k(x, y) = (x·y / D + 1)³
/// [ Σ_{i≠j} k(x_i, x_j) ] / (n(n-1)) + [ Σ_{i≠j} k(y_i, y_j) ] / (m(m-1)) - 2 Σ_{ij} k(x_i, y_j) / (n m)
/// ```
///
/// # Shapes
/// `x`: `[N, D]`; `y`: `[M, D]`. Computed in f64 on the CPU, in bounded memory.
///
/// # Errors
/// - [`Error::TooFew`] for fewer than two rows of a set;
/// - [`Error::NotFeatures`], [`Error::Dimension`], [`Error::NonFiniteFeatures`] for unusable features.
///
/// # Source
/// Bińkowski et al. 2018, arXiv:1801.01401, Eq. (4). Differs from torch-fidelity and StyleGAN2-ADA, which compute in f32.
///
/// # Example
/// ```
/// use metrics::polynomial_mmd;
/// let x = tch::Tensor::from_slice(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).view([3, 2]);
/// let y = tch::Tensor::from_slice(&[0.0, 0.0, 2.0, 1.0, 1.0, -1.0]).view([3, 2]);
/// assert!((polynomial_mmd(&x, &y)? + 3.291666666667).abs() < 1e-12); // it can be negative
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn polynomial_mmd(x: &Tensor, y: &Tensor) -> Result<f64> {
    let pairs = Pairs::new(x, y)?;
    let (n, m) = (x.size()[0], y.size()[0]);
    if n.min(m) < 2 {
        return Err(Error::TooFew { found: n.min(m), needed: 2 });
    }
    let dim = x.size()[1];
    let cross = kernel_sum(&pairs, dim) / (n * m) as f64;
    Ok(mean_of_others(x)? + mean_of_others(y)? - 2.0 * cross)
}

fn kernel(products: &Tensor, dim: i64) -> Tensor {
    (products / dim as f64 + 1.0).pow_tensor_scalar(3)
}

fn kernel_sum(pairs: &Pairs, dim: i64) -> f64 {
    pairs.products().map(|block| kernel(&block, dim).sum(Kind::Double).double_value(&[])).sum()
}

/// The mean kernel of the pairs of different rows of a set.
fn mean_of_others(x: &Tensor) -> Result<f64> {
    let (n, dim) = (x.size()[0], x.size()[1]);
    let squares = x.to_kind(Kind::Double).square().sum_dim_intlist(1, false, Kind::Double);
    let diagonal = kernel(&squares, dim).sum(Kind::Double).double_value(&[]);
    Ok((kernel_sum(&Pairs::new(x, x)?, dim) - diagonal) / (n * (n - 1)) as f64)
}

/// Rows of two sets of features, chosen for the subsets of a kernel distance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSubsets(Vec<[Vec<i64>; 2]>);

impl KernelSubsets {
    /// The subsets of torch-fidelity: NumPy's generator draws `count` times `size` of `n` and `size` of `m` rows, each
    /// without replacement. Official are 100 subsets of 1,000 and the seed 2020.
    ///
    /// # Errors
    /// [`Error::TooFew`] if a set has fewer than `size` rows; [`Error::NotPositive`] for no subset.
    pub fn torch_fidelity(n: i64, m: i64, count: i64, size: i64, seed: u32) -> Result<Self> {
        check(n.min(m), count, size)?;
        let mut random = NumpyRandom::new(seed);
        Ok(Self((0..count).map(|_| [random.choice(n, size), random.choice(m, size)]).collect()))
    }

    /// The subsets of StyleGAN: as many rows as the smaller set has, at most `max_size`. Official are 100 subsets of at
    /// most 1,000, from an unseeded generator; here they come from `noise`.
    ///
    /// # Errors
    /// [`Error::TooFew`] if a set has fewer than two rows; [`Error::NotPositive`] for no subset.
    pub fn style_gan(n: i64, m: i64, count: i64, max_size: i64, noise: &mut Noise) -> Result<Self> {
        let size = max_size.min(n).min(m);
        check(n.min(m), count, size.max(2))?;
        let mut rows = |n: i64| -> Vec<i64> {
            noise
                .permutation(n as usize)
                .iter()
                .take(size as usize)
                .map(|&row| row as i64)
                .collect()
        };
        let pairs = (0..count).map(|_| {
            let second = rows(m); // the generated images are drawn first
            [rows(n), second]
        });
        Ok(Self(pairs.collect()))
    }

    /// Subsets chosen elsewhere: rows of the first and of the second set.
    pub fn of_rows(pairs: Vec<[Vec<i64>; 2]>) -> Self {
        Self(pairs)
    }

    /// The rows of each subset.
    pub fn rows(&self) -> &[[Vec<i64>; 2]] {
        &self.0
    }
}

fn check(found: i64, count: i64, size: i64) -> Result<()> {
    if count < 1 {
        return Err(Error::NotPositive { what: "count", value: count });
    }
    let needed = size.max(2);
    if found < needed { Err(Error::TooFew { found, needed }) } else { Ok(()) }
}

/// The kernel inception distance: the mean of [`polynomial_mmd`] over subsets. Usually reported times 1,000.
///
/// Unlike a Fréchet distance it is unbiased, so that it can be compared between numbers of images; it can be negative.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelDistance {
    /// The mean over the subsets.
    pub mean: f64,
    /// The standard deviation over the subsets, with divisor `n`.
    pub deviation: f64,
    /// The value of each subset.
    pub values: Vec<f64>,
}

impl KernelDistance {
    /// Compares subsets of two sets of features, `[N, D]` and `[M, D]`.
    ///
    /// # Errors
    /// [`Error::Index`] for a row that is not there; those of [`polynomial_mmd`].
    ///
    /// # Example
    /// ```
    /// use metrics::{KernelDistance, KernelSubsets};
    /// let x = diffusion_core::Noise::new(0).normal_f64(&[200, 8]);
    /// let subsets = KernelSubsets::torch_fidelity(200, 200, 10, 50, 2020)?;
    /// assert!(KernelDistance::of(&x, &(&x + 1.0), &subsets)?.mean > 1.0);
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn of(x: &Tensor, y: &Tensor, subsets: &KernelSubsets) -> Result<Self> {
        let value = |[first, second]: &[Vec<i64>; 2]| {
            polynomial_mmd(&chosen_rows(x, first)?, &chosen_rows(y, second)?)
        };
        let values = subsets.0.iter().map(value).collect::<Result<Vec<f64>>>()?;
        if values.is_empty() {
            return Err(Error::TooFew { found: 0, needed: 1 });
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Ok(Self { mean, deviation: (variance / values.len() as f64).sqrt(), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_symmetric_and_unbiased() {
        let mut noise = Noise::new(1);
        let (x, y) = (noise.normal_f64(&[300, 4]), noise.normal_f64(&[300, 4]));
        assert_eq!(polynomial_mmd(&x, &y).unwrap(), polynomial_mmd(&y, &x).unwrap());
        let subsets = KernelSubsets::style_gan(300, 300, 50, 40, &mut noise).unwrap();
        let same = KernelDistance::of(&x, &y, &subsets).unwrap();
        assert!(same.mean.abs() < 3.0 * same.deviation / 50f64.sqrt() + 0.05, "{same:?}");
        assert!(same.values.iter().any(|&value| value < 0.0));
    }

    #[test]
    fn style_gan_takes_what_there_is() {
        let subsets = KernelSubsets::style_gan(5, 9, 3, 1000, &mut Noise::new(0)).unwrap();
        for [first, second] in subsets.rows() {
            assert_eq!((first.len(), second.len()), (5, 5));
            let mut sorted = first.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            assert!(second.iter().all(|row| (0..9).contains(row)));
        }
    }

    #[test]
    fn too_few_rows_are_refused() {
        let few = KernelSubsets::torch_fidelity(999, 5000, 100, 1000, 2020);
        assert!(matches!(few, Err(Error::TooFew { found: 999, needed: 1000 })));
        let one = KernelSubsets::style_gan(1, 9, 3, 1000, &mut Noise::new(0));
        assert!(matches!(one, Err(Error::TooFew { found: 1, needed: 2 })));
        let none = KernelSubsets::torch_fidelity(9, 9, 0, 3, 0);
        assert!(matches!(none, Err(Error::NotPositive { what: "count", value: 0 })));
        let x = Noise::new(0).normal_f64(&[4, 2]);
        assert!(matches!(polynomial_mmd(&x, &x.narrow(0, 0, 1)), Err(Error::TooFew { .. })));
        let outside = KernelSubsets::of_rows(vec![[vec![0, 1], vec![0, 4]]]);
        let error = KernelDistance::of(&x, &x, &outside).unwrap_err();
        assert!(matches!(error, Error::Index { index: 4, rows: 4 }));
    }
}
