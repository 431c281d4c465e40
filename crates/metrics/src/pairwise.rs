//! Distances between all pairs of two sets, a block of rows at a time.

use crate::Result;
use crate::gaussian_stats::common_dim;
use crate::sliced_wasserstein::{checked, on_host};
use tch::{Kind, Tensor};

/// Entries of one block: 32 MiB of f64.
const BLOCK: i64 = 1 << 22;
/// Squared distances below this share of the squared lengths are computed again, from differences.
const CANCELLED: f64 = 1e-9;

/// Two usable sets of vectors of one length on the CPU, whose distances are computed block by block, in f64.
///
/// Memory stays bounded: no more than a few blocks of 4 million distances exist at a time, whatever the sizes.
#[derive(Debug)]
pub(crate) struct Pairs {
    x: Tensor,
    y: Tensor,
    y_squared: Tensor,
    block: i64,
}

impl Pairs {
    /// Pairs of a row of `x`, `[N, D]`, and a row of `y`, `[M, D]`.
    ///
    /// # Errors
    /// [`Error::NotFeatures`], [`Error::TooFew`], [`Error::NonFiniteFeatures`] or [`Error::Dimension`].
    pub(crate) fn new(x: &Tensor, y: &Tensor) -> Result<Self> {
        let (x, y) = (on_host(x)?, checked(y)?);
        common_dim(&x, &y)?;
        let y_squared = squared_lengths(&y);
        Ok(Self { x, y, y_squared, block: BLOCK })
    }

    /// Blocks of rows of `x`, in f64.
    fn blocks(&self) -> impl Iterator<Item = Tensor> + use<> {
        let rows = (self.block / self.y.size()[0]).max(1);
        self.x.split(rows, 0).into_iter().map(|block| block.to_kind(Kind::Double))
    }

    /// Inner products of each block of rows of `x` with all rows of `y`: `[B, M]`, in order.
    pub(crate) fn products(&self) -> impl Iterator<Item = Tensor> + '_ {
        self.blocks().map(|x| x.matmul(&self.y.tr()))
    }

    /// Squared distances of each block of rows of `x` from all rows of `y`: `[B, M]`, in order.
    ///
    /// `|x|² + |y|² - 2 x·y`, except for nearly equal vectors, where it would cancel: equal vectors have distance 0.
    pub(crate) fn squared_distances(&self) -> impl Iterator<Item = Tensor> + '_ {
        self.blocks().map(|x| {
            let scale = squared_lengths(&x).unsqueeze(1) + &self.y_squared;
            let distances = (&scale - x.matmul(&self.y.tr()) * 2.0).clamp_min(0.0);
            self.corrected(&x, distances, &scale)
        })
    }

    fn corrected(&self, x: &Tensor, mut distances: Tensor, scale: &Tensor) -> Tensor {
        let near = distances.le_tensor(&(scale * CANCELLED)).nonzero();
        for pairs in near.split((BLOCK / x.size()[1]).max(1), 0) {
            let (row, column) = (pairs.select(1, 0), pairs.select(1, 1));
            let difference = x.index_select(0, &row) - self.y.index_select(0, &column);
            let exact = difference.square().sum_dim_intlist(1, false, Kind::Double);
            let _ = distances.index_put_(&[Some(&row), Some(&column)], &exact, false);
        }
        distances
    }

    /// The same pairs in other blocks.
    #[cfg(test)]
    fn with_block(self, block: i64) -> Self {
        Self { block, ..self }
    }
}

/// The squared length of each row, in f64.
pub(crate) fn squared_lengths(vectors: &Tensor) -> Tensor {
    vectors.square().sum_dim_intlist(1, false, Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use diffusion_core::Noise;

    fn distances(pairs: &Pairs) -> Tensor {
        Tensor::cat(&pairs.squared_distances().collect::<Vec<_>>(), 0)
    }

    #[test]
    fn blocks_do_not_change_the_distances() {
        let mut noise = Noise::new(1);
        let (x, y) = (noise.normal_f64(&[23, 5]), noise.normal_f64(&[17, 5]));
        let expected = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum_dim_intlist(2, false, None);
        for block in [1, 34, 100, BLOCK] {
            let pairs = Pairs::new(&x, &y).unwrap().with_block(block);
            assert!((distances(&pairs) - &expected).abs().max().double_value(&[]) < 1e-13);
            let products = Tensor::cat(&pairs.products().collect::<Vec<_>>(), 0);
            assert!((products - x.matmul(&y.tr())).abs().max().double_value(&[]) < 1e-13);
        }
    }

    #[test]
    fn equal_and_nearly_equal_vectors_cost_no_digits() {
        let x = Noise::new(2).normal_f64(&[6, 40]) + 1000.0;
        let y = Tensor::cat(&[&x + 1e-5, x.copy()], 0);
        let found = distances(&Pairs::new(&x, &y).unwrap());
        for row in 0..6 {
            assert_eq!(found.double_value(&[row, 6 + row]), 0.0);
            assert!((found.double_value(&[row, row]) / (40.0 * 1e-10) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn sets_that_do_not_fit_are_refused() {
        let mut noise = Noise::new(3);
        let x = noise.normal_f64(&[4, 3]);
        let other = Pairs::new(&x, &noise.normal_f64(&[4, 2])).unwrap_err();
        assert!(matches!(other, Error::Dimension { expected: 3, found: 2 }));
        let none = Pairs::new(&x, &x.narrow(0, 0, 0)).unwrap_err();
        assert!(matches!(none, Error::TooFew { found: 0, needed: 1 }));
        let nan = Pairs::new(&(&x * f64::NAN), &x).unwrap_err();
        assert!(matches!(nan, Error::NonFiniteFeatures { count: 4, first: 0 }));
    }
}
