//! The sliced Wasserstein distance of pixels, as a metric.

use crate::sliced_wasserstein::{distance_of_sorted, project};
use crate::{Direction, Error, ImageShape, Metric, MetricInfo, Order, Result, random_directions};
use diffusion_core::{Noise, NoiseState};
use tch::Tensor;

/// Images a [`PixelSlicedWasserstein`] takes unless told otherwise.
const DEFAULT_MAX_IMAGES: i64 = 65_536;

/// The sliced Wasserstein distance between the pixels of images and those of a fixed set of real images.
///
/// Every image is one vector of `C·H·W` pixels. Only projections are kept: `L` numbers an image.
///
/// # Example
/// See [`Metric`].
#[derive(Debug)]
pub struct PixelSlicedWasserstein {
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

impl PixelSlicedWasserstein {
    /// Compares with `reference`, `[N, C, H, W]` in `[-1, 1]`, along `n_directions` directions drawn from `noise`.
    ///
    /// The order is [`Order::One`] unless [`PixelSlicedWasserstein::with_order`] changes it.
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

impl Metric for PixelSlicedWasserstein {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn real(n: i64) -> Tensor {
        Noise::new(11).normal(&[n, 1, 4, 4]) * 0.3
    }

    fn metric(n: i64) -> PixelSlicedWasserstein {
        PixelSlicedWasserstein::new(&real(n), 24, &mut Noise::new(3)).unwrap()
    }

    fn value_of(metric: &mut PixelSlicedWasserstein, images: &Tensor) -> f64 {
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
        let none = PixelSlicedWasserstein::new(&real(8), 0, &mut Noise::new(0));
        assert!(matches!(none, Err(Error::NotPositive { what: "n_directions", value: 0 })));
    }
}
