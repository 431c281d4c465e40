//! The Inception Score.

use crate::gaussian_stats::feature_dim;
use crate::image_shape::non_finite_rows;
use crate::{Direction, Error, MetricInfo, NumpyRandom, Result};
use std::fmt;
use tch::{Kind, Tensor};

/// How images are split for an [`InceptionScore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreSplits {
    /// So many splits with the bounds `i N / count`; with a seed, after NumPy's permutation of the images.
    Equal {
        /// Number of splits.
        count: i64,
        /// Seed of the permutation.
        shuffle: Option<u32>,
    },
    /// So many images to a split, in order; the last split may have fewer and counts like the others.
    Consecutive {
        /// Images of a split.
        size: i64,
    },
}

impl ScoreSplits {
    /// torch-fidelity: ten splits after a permutation with the seed 2020.
    pub const TORCH_FIDELITY: Self = Self::Equal { count: 10, shuffle: Some(2020) };
    /// StyleGAN2-ADA: ten splits, in order.
    pub const STYLE_GAN: Self = Self::Equal { count: 10, shuffle: None };
    /// The evaluator of ADM: 5,000 images to a split, in order. It reports the mean only.
    pub const ADM: Self = Self::Consecutive { size: 5000 };

    /// What the score of `n` images is, whose outputs are made by `recipe`.
    pub fn info(self, recipe: &str, n: i64) -> MetricInfo {
        MetricInfo {
            name: "Inception Score".into(),
            label: "IS".into(),
            unit: "effective number of classes".into(),
            direction: Direction::HigherIsBetter,
            recipe: format!("{recipe}; {self}; f64; {n} images"),
        }
    }

    /// The rows of every split of `n` images.
    fn rows(self, n: i64) -> Result<Vec<Vec<i64>>> {
        let (what, value) = match self {
            Self::Equal { count, .. } => ("count", count),
            Self::Consecutive { size } => ("size", size),
        };
        if value < 1 {
            return Err(Error::NotPositive { what, value });
        }
        match self {
            Self::Equal { count, .. } if n < count => {
                Err(Error::TooFew { found: n, needed: count })
            }
            Self::Equal { count, shuffle } => {
                let order = match shuffle {
                    Some(seed) => NumpyRandom::new(seed).permutation(n),
                    None => (0..n).collect(),
                };
                let split =
                    |i| order[(i * n / count) as usize..((i + 1) * n / count) as usize].to_vec();
                Ok((0..count).map(split).collect())
            }
            Self::Consecutive { size } => {
                let order: Vec<i64> = (0..n).collect();
                Ok(order.chunks(size as usize).map(<[i64]>::to_vec).collect())
            }
        }
    }
}

impl fmt::Display for ScoreSplits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal { count, shuffle: None } => write!(f, "{count} splits, in order"),
            Self::Equal { count, shuffle: Some(seed) } => {
                write!(f, "{count} splits, NumPy seed {seed}")
            }
            Self::Consecutive { size } => write!(f, "splits of {size} images, in order"),
        }
    }
}

/// The Inception Score: how sure a classifier is of each image, and how different the images are.
///
/// ```text
/// exp( mean over the images of a split of KL( p(y|x) ‖ p(y) ) ),   p(y) = mean of p(y|x) over the split
/// ```
///
/// Between 1 and the number of classes. It sees no real images: a generator of one perfect image a class has the highest.
/// Published values use the 1,008 outputs of the TensorFlow network without their bias.
///
/// # Source
/// Salimans et al. 2016, arXiv:1606.03498; the splits of torch-fidelity, StyleGAN2-ADA and guided-diffusion. Differs:
/// f64 throughout; StyleGAN2-ADA and guided-diffusion have f32 probabilities (2e-6 relative).
///
/// # Example
/// ```
/// use metrics::{InceptionScore, ScoreSplits};
/// use tch::{Device, Kind, Tensor};
/// let sure = Tensor::eye(4, (Kind::Float, Device::Cpu)) * 100.0; // one image of each of four classes
/// let score = InceptionScore::of_logits(&sure, ScoreSplits::Equal { count: 1, shuffle: None })?;
/// assert!((score.mean - 4.0).abs() < 1e-9);
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionScore {
    /// The mean over the splits.
    pub mean: f64,
    /// The standard deviation over the splits, with divisor `n`.
    pub deviation: f64,
    /// The score of each split.
    pub values: Vec<f64>,
}

impl InceptionScore {
    /// The score of a classifier's outputs before the softmax, `[N, classes]`.
    ///
    /// # Errors
    /// - [`Error::TooFew`] for fewer images than splits, or none; [`Error::NotPositive`] for no split;
    /// - [`Error::NotFeatures`], [`Error::NonFiniteFeatures`] for unusable outputs.
    pub fn of_logits(logits: &Tensor, splits: ScoreSplits) -> Result<Self> {
        feature_dim(logits)?;
        if let Some((count, first)) = non_finite_rows(logits) {
            return Err(Error::NonFiniteFeatures { count, first });
        }
        let splits = splits.rows(logits.size()[0])?;
        if splits.is_empty() {
            return Err(Error::TooFew { found: 0, needed: 1 });
        }
        let logits = logits.detach().to_device(tch::Device::Cpu);
        let score = |rows: &Vec<i64>| score(&logits.index_select(0, &Tensor::from_slice(rows)));
        let values: Vec<f64> = splits.iter().map(score).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Ok(Self { mean, deviation: (variance / values.len() as f64).sqrt(), values })
    }
}

fn score(logits: &Tensor) -> f64 {
    let log_p = logits.to_kind(Kind::Double).log_softmax(1, Kind::Double);
    let p = log_p.exp();
    let log_mean = p.mean_dim(0, false, Kind::Double).clamp_min(f64::MIN_POSITIVE).log();
    let divergence = (p * (log_p - log_mean)).sum_dim_intlist(1, false, Kind::Double);
    divergence.mean(Kind::Double).double_value(&[]).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    const ONE: ScoreSplits = ScoreSplits::Equal { count: 1, shuffle: None };

    #[test]
    fn equal_images_score_one_even_if_sure() {
        for scale in [0.0, 3.0, 1e4] {
            let logits = Noise::new(1).normal_f64(&[1, 7]).repeat([6, 1]) * scale;
            let score = InceptionScore::of_logits(&logits, ONE).unwrap();
            assert!((score.mean - 1.0).abs() < 1e-12, "{score:?}");
        }
    }

    #[test]
    fn one_split_does_not_depend_on_the_order() {
        let logits = Noise::new(2).normal_f64(&[31, 5]);
        let one = InceptionScore::of_logits(&logits, ONE).unwrap();
        let back = InceptionScore::of_logits(&logits.flip([0]), ONE).unwrap();
        assert!((one.mean - back.mean).abs() < 1e-13 && one.mean > 1.1);
    }

    #[test]
    fn every_image_is_in_one_split() {
        let shuffled = ScoreSplits::Equal { count: 10, shuffle: Some(3) };
        let sizes = |splits: ScoreSplits| -> Vec<usize> {
            let rows = splits.rows(25).unwrap();
            let mut all = rows.concat();
            all.sort_unstable();
            assert_eq!(all, (0..25).collect::<Vec<i64>>());
            rows.iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(shuffled), [2, 3, 2, 3, 2, 3, 2, 3, 2, 3]);
        assert_eq!(sizes(ScoreSplits::Consecutive { size: 10 }), [10, 10, 5]);
    }

    #[test]
    fn unusable_outputs_are_refused() {
        let logits = Noise::new(4).normal_f64(&[9, 5]);
        let of = |logits: &Tensor, splits| InceptionScore::of_logits(logits, splits).unwrap_err();
        let few = of(&logits, ScoreSplits::STYLE_GAN);
        assert!(matches!(few, Error::TooFew { found: 9, needed: 10 }));
        assert!(matches!(of(&(&logits * f64::NAN), ONE), Error::NonFiniteFeatures { .. }));
        let none = of(&logits.narrow(0, 0, 0), ScoreSplits::ADM);
        assert!(matches!(none, Error::TooFew { found: 0, needed: 1 }));
        let zero = of(&logits, ScoreSplits::Consecutive { size: 0 });
        assert!(matches!(zero, Error::NotPositive { what: "size", value: 0 }));
    }
}
