//! How far apart two images are.

use diffusion_core::{shape, strict::no_further_keys};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A distance between two images, one value per image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distance {
    /// Mean of squared differences over channels and pixels.
    #[serde(deserialize_with = "no_further_keys")]
    L2,
    /// Mean of absolute differences over channels and pixels.
    #[serde(deserialize_with = "no_further_keys")]
    L1,
    /// `√(‖a − b‖² + c²) − c` with the Euclidean norm of the **whole** image; `c = 0` is the norm itself.
    PseudoHuber {
        /// Below this difference the distance is quadratic, above it linear.
        c: f64,
    },
}

impl Distance {
    /// The Pseudo-Huber distance with `c = 0.00054 √dim`, as improved consistency training sets it.
    pub fn pseudo_huber_for(dim: i64) -> Self {
        Self::PseudoHuber { c: 0.00054 * (dim as f64).sqrt() }
    }

    /// The distances `[B]` between the images of two batches `[B, C, H, W]`.
    ///
    /// # Panics
    /// If shapes differ.
    pub fn per_image(self, a: &Tensor, b: &Tensor) -> Tensor {
        shape::assert_same(["a", "b"], a, b);
        let difference = a - b;
        match self {
            Self::L2 => shape::mean_per_image(&difference.square()),
            Self::L1 => shape::mean_per_image(&difference.abs()),
            Self::PseudoHuber { c } => {
                (shape::sum_per_image(&difference.square()) + c * c).sqrt() - c
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn known_values() {
        let a = Tensor::full([1, 1, 2, 2], 3.0, (Kind::Double, Device::Cpu));
        let b = Tensor::ones([1, 1, 2, 2], (Kind::Double, Device::Cpu));
        let value = |distance: Distance| distance.per_image(&a, &b).double_value(&[0]);
        assert_eq!(value(Distance::L2), 4.0);
        assert_eq!(value(Distance::L1), 2.0);
        assert_eq!(value(Distance::PseudoHuber { c: 0.0 }), 4.0);
        assert!((value(Distance::PseudoHuber { c: 3.0 }) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_constant_for_cifar() {
        assert!(matches!(Distance::pseudo_huber_for(3 * 32 * 32),
            Distance::PseudoHuber { c } if (c - 0.0299).abs() < 1e-4));
    }
}
