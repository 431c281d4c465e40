//! From bytes to floating-point images.

use tch::{Kind, Tensor};

/// How a byte becomes a value of about `[-1, 1]`.
///
/// # Example
/// ```
/// use metrics::{ByteRule, ByteScale};
/// let bytes = tch::Tensor::from_slice(&[0u8, 77, 255]);
/// let images = ByteScale::Edm.decode(&bytes);
/// assert_eq!(ByteRule::Edm.encode(&images), bytes);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteScale {
    /// `u / 127.5 - 1`: EDM's data loader; 0 and 255 become exactly -1 and 1.
    Edm,
    /// `2 (u / 255) - 1`: `ToTensor` followed by `Normalize(0.5, 0.5)`.
    ToTensor,
    /// `(u - 128) / 128`: the input of the TensorFlow Inception network.
    Inception,
}

impl ByteScale {
    /// The values of the bytes `u`, `f32`, of the same shape.
    pub fn decode(self, u: &Tensor) -> Tensor {
        let u = u.to_kind(Kind::Float);
        match self {
            Self::Edm => u / 127.5 - 1.0,
            Self::ToTensor => (u / 255.0) * 2.0 - 1.0,
            Self::Inception => (u - 128.0) / 128.0,
        }
    }
}
