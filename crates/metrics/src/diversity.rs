//! How different the images of a generator are from each other.

use crate::{Error, Result};
use diffusion_core::Noise;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Pairs of images of a set, for [`Diversity`].
///
/// The first image of a pair is any that has another of its class, the second any other of that class: two answers of a
/// generator to one condition. Pairs are drawn with replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiversityPairs(Vec<[usize; 2]>);

impl DiversityPairs {
    /// Draws `count` pairs of images with the classes `labels`; without classes, give all the same.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for no pair, [`Error::TooFew`] if no two images are of one class.
    ///
    /// # Example
    /// ```
    /// use metrics::DiversityPairs;
    /// let pairs = DiversityPairs::draw(&[0, 1, 0, 2], 5, &mut diffusion_core::Noise::new(0))?;
    /// assert!(pairs.rows().iter().all(|pair| [[0, 2], [2, 0]].contains(pair)));
    /// assert_eq!(pairs.images(), [0, 2]);
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn draw(labels: &[i64], count: usize, noise: &mut Noise) -> Result<Self> {
        if count == 0 {
            return Err(Error::NotPositive { what: "count", value: 0 });
        }
        let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (image, &label) in labels.iter().enumerate() {
            classes.entry(label).or_default().push(image);
        }
        classes.retain(|_, images| images.len() > 1);
        // Images with others of their class, as class and place in it.
        let places: Vec<(&Vec<usize>, usize)> = classes
            .values()
            .flat_map(|images| (0..images.len()).map(move |place| (images, place)))
            .collect();
        if places.is_empty() {
            return Err(Error::TooFew { found: 1, needed: 2 });
        }
        let firsts = noise.integers(count, places.len() as u64);
        let pair = |first: u64| {
            let (class, place) = places[first as usize];
            let other = noise.integers(1, class.len() as u64 - 1)[0] as usize;
            [class[place], class[if other < place { other } else { other + 1 }]]
        };
        Ok(Self(firsts.into_iter().map(pair).collect()))
    }

    /// The pairs, by the places of their images in the set.
    pub fn rows(&self) -> &[[usize; 2]] {
        &self.0
    }

    /// The images that are in a pair, in increasing order.
    pub fn images(&self) -> Vec<usize> {
        let mut images = self.0.concat();
        images.sort_unstable();
        images.dedup();
        images
    }
}

/// The mean distance of [pairs](DiversityPairs) of images; with LPIPS, the "LPIPS diversity" of image translation and few-step
/// generators. Higher is more diverse; noise is most diverse of all, so compare with the value of real images.
///
/// # Source
/// Zhu et al. 2017 (`BicycleGAN`), arXiv:1711.11586; Choi et al. 2020 (`StarGAN v2`), arXiv:1912.01865.
/// Differs: pairs are drawn over all images at once, where they take the same number for each input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diversity {
    /// The mean over the pairs.
    pub mean: f64,
    /// The standard error of the mean: the deviation over the pairs, with divisor `n - 1`, over `√n`; 0 for one pair.
    pub standard_error: f64,
}

impl Diversity {
    /// Measures `pairs` in batches of `batch`. `image` gives an image, `[C, H, W]`, by its place in the set; `distance` the
    /// distances of two batches, `[B, C, H, W]` each, as `[B]`.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for an empty batch; [`Error::NotFeatures`] for distances of another shape than `[B]`,
    /// [`Error::NonFiniteFeatures`] for NaN; what `distance` fails with.
    ///
    /// # Example
    /// ```
    /// use metrics::{Diversity, DiversityPairs};
    /// use tch::{Kind, Tensor};
    /// let pairs = DiversityPairs::draw(&[7, 7], 20, &mut diffusion_core::Noise::new(0))?;
    /// let image = |place| Tensor::full([3, 8, 8], place as f64, (Kind::Float, tch::Device::Cpu));
    /// let distance = |a: &Tensor, b: &Tensor| Ok((a - b).abs().mean_dim(&[1i64, 2, 3][..], false, None));
    /// let found = Diversity::of(&pairs, 8, image, distance)?;
    /// assert_eq!((found.mean, found.standard_error), (1.0, 0.0));
    /// # Ok::<(), metrics::Error>(())
    /// ```
    pub fn of(
        pairs: &DiversityPairs,
        batch: usize,
        image: impl Fn(usize) -> Tensor,
        mut distance: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::NotPositive { what: "batch", value: 0 });
        }
        let mut values = Vec::with_capacity(pairs.0.len());
        for pairs in pairs.0.chunks(batch) {
            let side = |side: usize| {
                Tensor::stack(&pairs.iter().map(|pair| image(pair[side])).collect::<Vec<_>>(), 0)
            };
            let found = distance(&side(0), &side(1))?;
            if found.size() != [pairs.len() as i64] {
                return Err(Error::NotFeatures { shape: found.size(), kind: found.kind() });
            }
            let found: Vec<f64> = Vec::try_from(found.to_kind(Kind::Double))?;
            if let Some(first) = found.iter().position(|value| !value.is_finite()) {
                let count = found.iter().filter(|value| !value.is_finite()).count() as i64;
                return Err(Error::NonFiniteFeatures { count, first: first as i64 });
            }
            values.extend(found);
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let standard_error = if n > 1.0 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        Ok(Self { mean, standard_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_square(a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Ok((a - b).square().mean_dim(&[1i64, 2, 3][..], false, Kind::Float))
    }

    fn of(images: &Tensor, pairs: &DiversityPairs, batch: usize) -> Diversity {
        Diversity::of(pairs, batch, |place| images.get(place as i64), mean_square).unwrap()
    }

    #[test]
    fn pairs_are_of_one_class_never_of_one_image_and_from_the_seed() {
        let labels: Vec<i64> = (0..40).map(|image| image % 3).collect();
        let draw = |seed| DiversityPairs::draw(&labels, 3000, &mut Noise::new(seed)).unwrap();
        let pairs = draw(1);
        let mut counts = vec![[0; 2]; 40];
        for &[a, b] in pairs.rows() {
            assert!(a != b && labels[a] == labels[b]);
            counts[a][0] += 1;
            counts[b][1] += 1;
        }
        // 75 of each are expected, with a deviation below 9.
        assert!(counts.iter().flatten().all(|count| (30..130).contains(count)), "{counts:?}");
        assert_eq!(pairs, draw(1));
        assert_ne!(pairs, draw(2));
    }

    #[test]
    fn equal_images_have_none_and_independent_ones_that_of_their_distribution() {
        let mut noise = Noise::new(3);
        let images = noise.normal(&[200, 3, 4, 4]);
        let pairs = DiversityPairs::draw(&[0; 200], 2000, &mut noise).unwrap();
        let same = images.narrow(0, 0, 1).expand_as(&images);
        assert_eq!(of(&same, &pairs, 64), Diversity { mean: 0.0, standard_error: 0.0 });
        let found = of(&images, &pairs, 64);
        // (a - b)² of two standard normals has the mean 2; of 48 values, a deviation of √(8 / 48).
        assert!((found.mean - 2.0).abs() < 0.15, "{found:?}");
        assert!((found.standard_error / (8.0 / 48.0 / 2000f64).sqrt() - 1.0).abs() < 0.2);
        let batches = of(&images, &pairs, 7);
        assert!((batches.mean - found.mean).abs() < 1e-12);
    }

    #[test]
    fn the_order_of_images_and_of_a_pair_is_nothing() {
        let mut noise = Noise::new(4);
        let images = noise.normal(&[30, 1, 4, 4]);
        let pairs = DiversityPairs::draw(&[0; 30], 100, &mut noise).unwrap();
        let swapped = DiversityPairs(pairs.0.iter().rev().map(|&[a, b]| [b, a]).collect());
        let moved = DiversityPairs(pairs.0.iter().map(|pair| pair.map(|row| 29 - row)).collect());
        let expected = of(&images, &pairs, 8);
        for found in [of(&images, &swapped, 8), of(&images.flip([0]), &moved, 8)] {
            assert!((found.mean - expected.mean).abs() < 1e-12);
            assert!((found.standard_error - expected.standard_error).abs() < 1e-12);
        }
    }

    #[test]
    fn what_has_no_diversity_is_refused() {
        let noise = &mut Noise::new(5);
        let alone = DiversityPairs::draw(&[0, 1, 2], 4, noise);
        assert!(matches!(alone, Err(Error::TooFew { found: 1, needed: 2 })));
        let none = DiversityPairs::draw(&[0, 0], 0, noise);
        assert!(matches!(none, Err(Error::NotPositive { what: "count", .. })));
        let pairs = DiversityPairs::draw(&[0, 0], 3, noise).unwrap();
        let nan = |_: &Tensor, _: &Tensor| Ok(Tensor::from_slice(&[1.0, f64::NAN, 2.0]));
        let image = |_| Tensor::zeros([1, 2, 2], (Kind::Float, tch::Device::Cpu));
        let error = Diversity::of(&pairs, 3, image, nan).unwrap_err();
        assert!(matches!(error, Error::NonFiniteFeatures { count: 1, first: 1 }));
        let map = |a: &Tensor, _: &Tensor| Ok(a.shallow_clone());
        assert!(matches!(Diversity::of(&pairs, 3, image, map), Err(Error::NotFeatures { .. })));
    }
}
