//! The sliced Wasserstein distance.

use crate::gaussian_stats::feature_dim;
use crate::image_shape::non_finite_rows;
use crate::{Direction, Error, ImageShape, Metric, MetricInfo, Result};
use diffusion_core::{Noise, NoiseState};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Images a [`SlicedWasserstein`] takes unless told otherwise.
const DEFAULT_MAX_IMAGES: i64 = 65_536;

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

/// `n` directions in `dim` dimensions, uniform on the sphere: `[n, dim]`, f64, unit rows, on the CPU.
pub fn random_directions(n: i64, dim: i64, noise: &mut Noise) -> Tensor {
    let gaussian = noise.normal_f64(&[n, dim]).to_device(Device::Cpu);
    let length = gaussian.square().sum_dim_intlist(1, true, None).sqrt();
    gaussian / length
}

/// The sliced Wasserstein distance between the pixels of images and those of a fixed set of real images.
///
/// Every image is one vector of `C·H·W` pixels. Only projections are kept: `L` numbers an image.
///
/// # Example
/// See [`Metric`].
#[derive(Debug)]
pub struct SlicedWasserstein {
    shape: ImageShape,
    directions: Tensor,
    drawn_from: NoiseState,
    /// Sorted projections of the real images, `[N, L]`.
    reference: Tensor,
    /// Projections of the images taken in, batch by batch.
    projections: Vec<Tensor>,
    n: i64,
    max_images: i64,
    order: Order,
}

impl SlicedWasserstein {
    /// Compares with `reference`, `[N, C, H, W]` in `[-1, 1]`, along `n_directions` directions drawn from `noise`.
    ///
    /// The order is [`Order::One`] unless [`SlicedWasserstein::with_order`] changes it.
    ///
    /// # Errors
    /// As [`ImageShape::of`]; [`Error::NotPositive`] for `n_directions < 1`.
    pub fn new(reference: &Tensor, n_directions: i64, noise: &mut Noise) -> Result<Self> {
        let shape = ImageShape::of(reference)?;
        if n_directions < 1 {
            return Err(Error::NotPositive { what: "n_directions", value: n_directions });
        }
        let drawn_from = noise.state();
        let directions = random_directions(n_directions, shape.numel(), noise);
        let reference = project(&reference.flatten(1, -1), &directions)?.sort(0, false).0;
        Ok(Self {
            shape,
            directions,
            drawn_from,
            reference,
            projections: Vec::new(),
            n: 0,
            max_images: DEFAULT_MAX_IMAGES,
            order: Order::One,
        })
    }

    /// The same metric of another order.
    #[must_use]
    pub fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// The same metric for up to `max_images` images (65,536 unless changed): more are an error.
    #[must_use]
    pub fn with_max_images(self, max_images: i64) -> Self {
        Self { max_images, ..self }
    }
}

impl Metric for SlicedWasserstein {
    fn update(&mut self, images: &Tensor) -> Result<()> {
        self.shape.require_same(ImageShape::of(images)?)?;
        let n = self.n + images.size()[0];
        if n > self.max_images {
            return Err(Error::TooMany { found: n, limit: self.max_images });
        }
        self.projections.push(project(&images.flatten(1, -1), &self.directions)?);
        self.n = n;
        Ok(())
    }

    fn value(&self) -> Result<f64> {
        if self.n == 0 {
            return Err(Error::TooFew { found: 0, needed: 1 });
        }
        let sorted = Tensor::cat(&self.projections, 0).sort(0, false).0;
        distance_of_sorted(&self.reference, &sorted, self.order)
    }

    fn reset(&mut self) {
        self.projections.clear();
        self.n = 0;
    }

    fn info(&self) -> MetricInfo {
        let order = match self.order {
            Order::One => 1,
            Order::Two => 2,
        };
        let [n_directions, dim] = self.directions.size()[..] else { unreachable!("[L, D]") };
        let NoiseState { seed, stream, draw } = self.drawn_from;
        MetricInfo {
            name: format!("sliced Wasserstein-{order} distance of pixels"),
            label: format!("SW{order}"),
            unit: "pixel value in [-1, 1]".into(),
            direction: Direction::LowerIsBetter,
            recipe: format!(
                "pixels in [-1, 1], not clipped, {} = {dim} dimensions; {n_directions} unit directions \
                 (seed {seed}, stream {stream:#x}, draw {draw}); f64; {} reference images",
                self.shape,
                self.reference.size()[0],
            ),
        }
    }
}

/// Projections `[N, L]` of vectors `[N, D]` onto directions `[L, D]`.
fn project(vectors: &Tensor, directions: &Tensor) -> Result<Tensor> {
    let (found, expected) = (feature_dim(vectors)?, feature_dim(directions)?);
    if found != expected {
        return Err(Error::Dimension { expected, found });
    }
    for (samples, set) in [(vectors.size()[0], vectors), (directions.size()[0], directions)] {
        if samples == 0 {
            return Err(Error::TooFew { found: 0, needed: 1 });
        }
        if let Some((count, first)) = non_finite_rows(set) {
            return Err(Error::NonFiniteFeatures { count, first });
        }
    }
    let host = |t: &Tensor| t.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    Ok(host(vectors).matmul(&host(directions).tr()))
}

/// The distance between sorted projections `[N, L]` and `[M, L]`.
fn distance_of_sorted(x: &Tensor, y: &Tensor, order: Order) -> Result<f64> {
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

    fn real(n: i64) -> Tensor {
        Noise::new(11).normal(&[n, 1, 4, 4]) * 0.3
    }

    fn metric(n: i64) -> SlicedWasserstein {
        SlicedWasserstein::new(&real(n), 24, &mut Noise::new(3)).unwrap()
    }

    fn value_of(metric: &mut SlicedWasserstein, images: &Tensor) -> f64 {
        metric.reset();
        metric.update(images).unwrap();
        metric.value().unwrap()
    }

    #[test]
    fn a_set_has_no_distance_from_itself_in_any_order() {
        let order: Vec<i64> = Noise::new(5).permutation(40).iter().map(|&i| i as i64).collect();
        let shuffled = real(40).index_select(0, &Tensor::from_slice(&order));
        assert!(value_of(&mut metric(40), &shuffled) < 1e-15);
        // Every image twice is the same distribution; the sets have different sizes.
        let twice = Tensor::cat(&[real(40), real(40)], 0);
        assert!(value_of(&mut metric(40), &twice) < 1e-15);
    }

    #[test]
    fn a_shift_has_a_closed_form_in_both_orders() {
        let shifted = real(40) + 0.25;
        let directions = random_directions(24, 16, &mut Noise::new(3));
        // The projection of the constant shift onto every direction.
        let shift = directions.sum_dim_intlist(1, false, None) * 0.25;
        let expected_one = shift.abs().mean(Kind::Double).double_value(&[]);
        let expected_two = shift.square().mean(Kind::Double).sqrt().double_value(&[]);
        let one = value_of(&mut metric(40), &shifted);
        let two = value_of(&mut metric(40).with_order(Order::Two), &shifted);
        assert!((one - expected_one).abs() < 1e-7, "{one} instead of {expected_one}");
        assert!((two - expected_two).abs() < 1e-7, "{two} instead of {expected_two}");
    }

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
    fn streaming_equals_one_batch_and_reset_forgets() {
        let images = Noise::new(12).normal(&[30, 1, 4, 4]);
        let mut streamed = metric(40);
        streamed.update(&real(3)).unwrap();
        streamed.reset();
        streamed.update(&images.narrow(0, 13, 17)).unwrap();
        streamed.update(&images.narrow(0, 0, 13)).unwrap();
        assert!((streamed.value().unwrap() - value_of(&mut metric(40), &images)).abs() < 1e-14);
    }

    #[test]
    fn the_recipe_names_what_decides_the_value() {
        let info = metric(40).with_order(Order::Two).info();
        assert_eq!(info.label, "SW2");
        for part in ["1x4x4 = 16", "24 unit directions", "seed 3", "40 reference images"] {
            assert!(info.recipe.contains(part), "`{part}` is missing from `{}`", info.recipe);
        }
    }

    #[test]
    fn bad_sets_are_named_and_change_nothing() {
        let mut metric = metric(8).with_max_images(10);
        assert!(matches!(metric.value(), Err(Error::TooFew { found: 0, needed: 1 })));
        metric.update(&real(8)).unwrap();
        assert!(matches!(metric.update(&real(3)), Err(Error::TooMany { found: 11, limit: 10 })));
        let larger = Noise::new(1).normal(&[1, 1, 5, 4]);
        let error = metric.update(&larger).unwrap_err();
        assert!(error.to_string().starts_with("images are 1x5x4"), "{error}");
        assert!(matches!(metric.update(&(real(1) * f64::NAN)), Err(Error::NonFiniteImages { .. })));
        assert!(metric.value().unwrap() < 1e-15);
        let none = SlicedWasserstein::new(&real(8), 0, &mut Noise::new(0));
        assert!(matches!(none, Err(Error::NotPositive { what: "n_directions", value: 0 })));
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
