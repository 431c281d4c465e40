//! Comparing distances with thresholds: in single precision where that decides, in double where it does not.

use crate::Result;
use crate::gaussian_stats::common_dim;
use crate::pairwise::squared_lengths;
use crate::sliced_wasserstein::on_host;
use tch::{Kind, Tensor};

/// Entries of one block: 16 MiB of f32.
const BLOCK: i64 = 1 << 22;
/// Entries of vectors that are compared in double precision at a time.
const EXACT_BLOCK: i64 = 1 << 21;
/// The largest relative error of rounding to f32.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// Two sets of vectors on the CPU whose squared distances are estimated in f32, a block of rows at a time, to within a bound
/// that is never exceeded; whoever compares them asks for the [exact](Screened::exact) value of those too close to call.
///
/// ```text
/// |x|² + |y|² - 2 x·y   of vectors about a common center, scaled to a largest length M of 1/2 to 1
/// bound = 4 γ M²,   γ = n u / (1 - n u),   u = 2⁻²⁴,   n = D + 12
/// ```
///
/// A sum of `D` products in any order has an error of at most `γ` with `n = D` times the products of magnitudes, which is no
/// more than `M²`; the other roundings are in the 12.
///
/// # Source
/// Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1.
#[derive(Debug)]
pub(crate) struct Screened {
    x: Side,
    y: Side,
    scale: f64,
    bound: f64,
    block: i64,
}

/// A set of vectors as given, and centered and scaled in f32 with squared lengths.
#[derive(Debug)]
struct Side {
    vectors: Tensor,
    scaled: Tensor,
    squared: Tensor,
}

impl Screened {
    /// Pairs of a row of `x`, `[N, D]`, and a row of `y`, `[M, D]`.
    ///
    /// # Errors
    /// [`Error::NotFeatures`], [`Error::TooFew`], [`Error::NonFiniteFeatures`] or [`Error::Dimension`].
    pub(crate) fn new(x: &Tensor, y: &Tensor) -> Result<Self> {
        let (x, y) = (on_host(x)?, on_host(y)?);
        let dim = common_dim(&x, &y)?;
        let center = y.mean_dim(0, false, Kind::Double);
        let longest = longest(&x, &center).max(longest(&y, &center));
        let scale = if longest > 0.0 { 0.5f64.powi(longest.log2().ceil() as i32) } else { 1.0 };
        let steps = (dim + 12) as f64 * UNIT;
        let gamma = if steps < 0.5 { steps / (1.0 - steps) } else { f64::INFINITY };
        // Subtracting the center rounds in f64; vectors far from the origin lose digits by it.
        let far = (longest + center.norm().double_value(&[])) * scale * f64::EPSILON;
        let bound = 4.0 * gamma + 8.0 * far;
        let side = |vectors: Tensor| Side::new(vectors, &center, scale);
        Ok(Self { x: side(x), y: side(y), scale, bound, block: BLOCK })
    }

    /// How far a [scaled](Screened::scaled) estimate may be from the truth.
    pub(crate) fn bound(&self) -> f64 {
        self.bound
    }

    /// A squared distance in the unit of the estimates, f32.
    pub(crate) fn scaled(&self, squared_distances: &Tensor) -> Tensor {
        (squared_distances * (self.scale * self.scale)).to_kind(Kind::Float)
    }

    /// The first row of each block of `x`, and the estimated squared distances of its rows from all rows of `y`, `[B, M]`.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (i64, Tensor)> + '_ {
        let rows = (self.block / self.y.squared.size()[0]).max(1);
        let n = self.x.squared.size()[0];
        (0..n).step_by(rows as usize).map(move |start| {
            let length = rows.min(n - start);
            let mut distances =
                self.x.squared.narrow(0, start, length).unsqueeze(1) + &self.y.squared;
            let twice = self.x.scaled.narrow(0, start, length) * -2.0;
            (start, distances.addmm_(&twice, &self.y.scaled.tr()))
        })
    }

    /// The squared distances of pairs of rows, `[P]` each, in f64, from differences.
    pub(crate) fn exact(&self, x_rows: &Tensor, y_rows: &Tensor) -> Tensor {
        let pairs = (EXACT_BLOCK / self.x.vectors.size()[1]).max(1);
        let parts = x_rows.split(pairs, 0).into_iter().zip(y_rows.split(pairs, 0));
        let distances = parts.map(|(x_rows, y_rows)| {
            let chosen = |side: &Side, rows: &Tensor| {
                side.vectors.index_select(0, rows).to_kind(Kind::Double)
            };
            let difference = chosen(&self.x, &x_rows) - chosen(&self.y, &y_rows);
            difference.square().sum_dim_intlist(1, false, Kind::Double)
        });
        Tensor::cat(&distances.collect::<Vec<_>>(), 0)
    }

    /// The same pairs in other blocks.
    #[cfg(test)]
    pub(crate) fn with_block(self, block: i64) -> Self {
        Self { block, ..self }
    }
}

impl Side {
    fn new(vectors: Tensor, center: &Tensor, scale: f64) -> Self {
        let [n, dim] = [vectors.size()[0], vectors.size()[1]];
        let scaled = Tensor::zeros([n, dim], (Kind::Float, vectors.device()));
        let squared = Tensor::zeros([n], (Kind::Float, vectors.device()));
        for (start, centered) in centered(&vectors, center) {
            let length = centered.size()[0];
            let centered = centered * scale;
            scaled.narrow(0, start, length).copy_(&centered);
            squared.narrow(0, start, length).copy_(&squared_lengths(&centered));
        }
        Self { vectors, scaled, squared }
    }
}

/// Blocks of vectors about a center, in f64, with the number of their first row.
fn centered<'a>(
    vectors: &'a Tensor,
    center: &'a Tensor,
) -> impl Iterator<Item = (i64, Tensor)> + 'a {
    let rows = (BLOCK / vectors.size()[1]).max(1);
    let starts = (0i64..).step_by(rows as usize);
    starts.zip(vectors.split(rows, 0)).map(move |(start, block)| (start, block - center))
}

/// The largest length of vectors about a center.
fn longest(vectors: &Tensor, center: &Tensor) -> f64 {
    let largest = |(_, block): (i64, Tensor)| squared_lengths(&block).max().double_value(&[]);
    centered(vectors, center).map(largest).fold(0.0, f64::max).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use diffusion_core::Noise;

    #[test]
    fn estimates_are_within_the_bound_wherever_the_vectors_are() {
        let mut noise = Noise::new(1);
        for (shift, scale) in [(0.0, 1.0), (1000.0, 1.0), (-1e9, 3.0), (0.0, 1e30), (0.0, 1e-30)] {
            let x = noise.normal_f64(&[23, 40]) * scale + shift;
            let y = noise.normal_f64(&[17, 40]) * scale + shift;
            for block in [1, 34, BLOCK] {
                let pairs = Screened::new(&x, &y).unwrap().with_block(block);
                let (starts, blocks): (Vec<i64>, Vec<Tensor>) = pairs.blocks().unzip();
                let found = Tensor::cat(&blocks, 0).to_kind(Kind::Double);
                let difference = x.unsqueeze(1) - y.unsqueeze(0);
                let expected = difference.square().sum_dim_intlist(2, false, None);
                let off = (found - &expected * pairs.scale.powi(2)).abs().max().double_value(&[]);
                assert!(off <= pairs.bound() && pairs.bound() < 1e-3, "{off} {}", pairs.bound());
                assert!(starts[0] == 0 && starts.is_sorted());
                let rows = Tensor::from_slice(&[3i64, 22, 0]);
                let columns = Tensor::from_slice(&[16i64, 0, 5]);
                let exact = pairs.exact(&rows, &columns);
                for (pair, (row, column)) in [(3, 16), (22, 0), (0, 5)].into_iter().enumerate() {
                    let expected = expected.double_value(&[row, column]);
                    let found = exact.double_value(&[pair as i64]);
                    assert!((found / expected - 1.0).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn equal_vectors_are_at_no_distance() {
        let x = Noise::new(2).normal(&[6, 40]) + 1000.0;
        let pairs = Screened::new(&x, &x).unwrap();
        let rows = Tensor::arange(6, (Kind::Int64, x.device()));
        assert_eq!(pairs.exact(&rows, &rows).abs().max().double_value(&[]), 0.0);
        let zero = Screened::new(&(&x * 0.0), &(&x * 0.0)).unwrap();
        assert_eq!(zero.blocks().next().unwrap().1.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn sets_that_do_not_fit_are_refused() {
        let mut noise = Noise::new(3);
        let x = noise.normal_f64(&[4, 3]);
        let other = Screened::new(&x, &noise.normal_f64(&[4, 2])).unwrap_err();
        assert!(matches!(other, Error::Dimension { expected: 3, found: 2 }));
        let none = Screened::new(&x, &x.narrow(0, 0, 0)).unwrap_err();
        assert!(matches!(none, Error::TooFew { found: 0, needed: 1 }));
        let nan = Screened::new(&(&x * f64::NAN), &x).unwrap_err();
        assert!(matches!(nan, Error::NonFiniteFeatures { count: 4, first: 0 }));
    }
}
