//! The shape of one image, and the checks every metric makes.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use tch::{Kind, Tensor};

/// Channels, height and width of the images of a batch.
///
/// # Example
/// ```
/// use metrics::ImageShape;
/// use tch::{Device, Kind, Tensor};
/// let images = Tensor::zeros([5, 3, 16, 8], (Kind::Float, Device::Cpu));
/// assert_eq!(ImageShape::of(&images)?.to_string(), "3x16x8");
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// Number of channels.
    pub channels: i64,
    /// Number of rows.
    pub height: i64,
    /// Number of columns.
    pub width: i64,
}

impl ImageShape {
    /// The shape of the images `[B, C, H, W]`, once they are known to be usable.
    ///
    /// # Errors
    /// - [`Error::NotImages`] if the tensor is not four-dimensional or empty;
    /// - [`Error::NotFloat`] if it holds no floating-point numbers;
    /// - [`Error::NonFiniteImages`] if it holds NaN or infinite values.
    pub fn of(images: &Tensor) -> Result<Self> {
        let shape = images.size();
        let [_, channels, height, width] = shape[..] else {
            return Err(Error::NotImages { shape });
        };
        if images.numel() == 0 {
            return Err(Error::NotImages { shape });
        }
        if !is_floating_point(images) {
            return Err(Error::NotFloat { kind: images.kind() });
        }
        match non_finite_rows(images) {
            Some((count, first)) => Err(Error::NonFiniteImages { count, first }),
            None => Ok(Self { channels, height, width }),
        }
    }

    /// The shape of images that are bytes, `[B, C, H, W]`.
    ///
    /// # Errors
    /// [`Error::NotImages`] if the tensor is not four-dimensional or empty, [`Error::NotBytes`] if it holds no bytes.
    pub fn of_bytes(images: &Tensor) -> Result<Self> {
        let shape = images.size();
        let [_, channels, height, width] = shape[..] else {
            return Err(Error::NotImages { shape });
        };
        match images.kind() {
            _ if images.numel() == 0 => Err(Error::NotImages { shape }),
            Kind::Uint8 => Ok(Self { channels, height, width }),
            kind => Err(Error::NotBytes { kind }),
        }
    }

    /// Values in one image.
    pub fn numel(self) -> i64 {
        self.channels * self.height * self.width
    }

    /// Checks that `other` is the same shape.
    ///
    /// # Errors
    /// [`Error::MixedShapes`] if it is not.
    pub fn require_same(self, other: Self) -> Result<()> {
        if self == other {
            Ok(())
        } else {
            Err(Error::MixedShapes { expected: self, found: other })
        }
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Whether the tensor holds real floating-point numbers.
pub(crate) fn is_floating_point(tensor: &Tensor) -> bool {
    matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

/// How many entries along the first axis hold NaN or infinite values, and the first of them.
pub(crate) fn non_finite_rows(tensor: &Tensor) -> Option<(i64, i64)> {
    let bad = tensor.detach().flatten(1, -1).isfinite().logical_not().any_dim(1, false);
    let count = bad.sum(Kind::Int64).int64_value(&[]);
    (count > 0).then(|| (count, bad.to_kind(Kind::Int64).argmax(0, false).int64_value(&[])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_missing_batch_axis_or_image_is_refused() {
        for shape in [&[3i64, 8, 8][..], &[0, 3, 8, 8], &[2, 3, 0, 8]] {
            let images = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            assert!(
                matches!(ImageShape::of(&images), Err(Error::NotImages { shape: s }) if s == shape)
            );
        }
    }

    #[test]
    fn bytes_are_refused() {
        let images = Tensor::zeros([1, 3, 8, 8], (Kind::Uint8, Device::Cpu));
        let error = ImageShape::of(&images).unwrap_err();
        assert!(matches!(error, Error::NotFloat { kind: Kind::Uint8 }));
        assert!(error.to_string().contains("ByteScale"));
    }

    #[test]
    fn the_first_bad_image_is_named() {
        let images = Tensor::zeros([4, 1, 2, 2], (Kind::Float, Device::Cpu));
        let _ = images.get(1).fill_(f64::NAN);
        let _ = images.get(3).get(0).get(1).fill_(f64::NEG_INFINITY);
        assert!(matches!(
            ImageShape::of(&images),
            Err(Error::NonFiniteImages { count: 2, first: 1 })
        ));
    }
}
