//! From levels to the input of a network.

use serde::{Deserialize, Serialize};
use std::fmt;
use tch::Tensor;

/// How levels of 0 to 255 become the input of a network.
///
/// # Example
/// ```
/// use metrics::Scaling;
/// let levels = tch::Tensor::from_slice(&[0f32, 128.0]);
/// assert_eq!(Vec::<f32>::try_from(Scaling::Inception.apply(&levels)).unwrap(), [-1.0, 0.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// As they are: networks that scale inside.
    Levels,
    /// `(u - 128) / 128`: the TensorFlow graph of Inception.
    Inception,
    /// `2 u / 255 - 1`: pytorch-fid.
    Symmetric,
    /// `(u / 255 - mean) / std`, by channel.
    Normalized {
        /// Mean of each channel.
        mean: [f64; 3],
        /// Standard deviation of each channel.
        std: [f64; 3],
    },
}

impl Scaling {
    /// The statistics of ImageNet: torchvision, timm, DINOv2.
    pub const IMAGENET: Self =
        Self::Normalized { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// The statistics of CLIP's training images.
    pub const CLIP: Self = Self::Normalized {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
    };

    /// The input for levels `[B, 3, H, W]`, `f32`; of any shape unless [`Scaling::Normalized`].
    pub fn apply(self, levels: &Tensor) -> Tensor {
        match self {
            Self::Levels => levels.shallow_clone(),
            Self::Inception => (levels - 128.0) / 128.0,
            Self::Symmetric => (levels / 255.0) * 2.0 - 1.0,
            Self::Normalized { mean, std } => {
                let by_channel = |values: [f64; 3]| {
                    let values = Tensor::from_slice(&values).view([1, 3, 1, 1]);
                    values.to_kind(levels.kind()).to_device(levels.device())
                };
                (levels / 255.0 - by_channel(mean)) / by_channel(std)
            }
        }
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Levels => f.write_str("levels 0 to 255"),
            Self::Inception => f.write_str("(u - 128) / 128"),
            Self::Symmetric => f.write_str("2 u / 255 - 1"),
            Self::Normalized { mean, std } => {
                write!(f, "(u / 255 - mean) / std, mean {mean:?}, std {std:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scaling_has_its_zero_and_its_unit() {
        let levels = |mean: [f64; 3]| {
            let levels = Tensor::from_slice(&mean.map(|mean| (mean * 255.0) as f32));
            levels.view([1, 3, 1, 1])
        };
        let largest = |scaling: Scaling, x: &Tensor| scaling.apply(x).abs().max().double_value(&[]);
        for scaling in [Scaling::IMAGENET, Scaling::CLIP] {
            let Scaling::Normalized { mean, std } = scaling else { unreachable!() };
            assert!(largest(scaling, &levels(mean)) < 1e-6);
            let above = levels([0, 1, 2].map(|c| mean[c] + std[c]));
            assert!((largest(scaling, &above) - 1.0).abs() < 1e-6);
        }
        assert!(largest(Scaling::Symmetric, &levels([0.5; 3])) < 1e-6);
        assert!((largest(Scaling::Symmetric, &levels([1.0; 3])) - 1.0).abs() < 1e-6);
        assert!(largest(Scaling::Inception, &levels([128.0 / 255.0; 3])) < 1e-6);
        assert_eq!(largest(Scaling::Levels, &levels([1.0; 3])), 255.0);
    }
}
