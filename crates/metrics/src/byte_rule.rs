//! From floating-point images to bytes.

use serde::{Deserialize, Serialize};
use std::fmt;
use tch::{Kind, Tensor};

/// How a value in `[-1, 1]` becomes a byte.
///
/// Every published code base has its own rule and the choice moves a Fréchet distance by some hundredths, so that a
/// recipe must name it. A zero becomes 128 or 127. All arithmetic is f32 with one rounding for each operation.
///
/// # Source
/// The rules as stated by the programs named on each member; each is pinned to their values by a test.
///
/// # Example
/// ```
/// use metrics::ByteRule;
/// let x = tch::Tensor::from_slice(&[-1f32, 0.0, 1.0]);
/// assert_eq!(Vec::<u8>::try_from(ByteRule::Edm.encode(&x)).unwrap(), [0, 128, 255]);
/// assert_eq!(Vec::<u8>::try_from(ByteRule::ConsistencyModels.encode(&x)).unwrap(), [0, 127, 255]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteRule {
    /// `127.5 x + 128`, clipped to 0..=255, truncated: EDM, SiD, GDD, StyleGAN.
    Edm,
    /// `127.5 (x + 1)`, clipped, truncated: consistency models, guided-diffusion, DMD2.
    ConsistencyModels,
    /// `127.5 (x + 1)`, rounded half to even, clipped.
    Round,
    /// `255 (x / 2 + 1/2) + 1/2`, clipped, truncated: torchvision's `save_image`.
    SaveImage,
    /// `x` clipped to `[-1, 1]`, then `255 (x / 2 + 1/2)`, truncated: torchvision's `to_pil_image`.
    PilFloat,
}

impl ByteRule {
    /// The bytes of `x`, as a `u8` tensor of the same shape. Infinite values are clipped; NaN has no defined byte.
    pub fn encode(self, x: &Tensor) -> Tensor {
        let x = x.detach().to_kind(Kind::Float);
        let levels = match self {
            Self::Edm => x * 127.5 + 128.0,
            Self::ConsistencyModels => (x + 1.0) * 127.5,
            Self::Round => ((x + 1.0) * 127.5).round(),
            Self::SaveImage => (x * 0.5 + 0.5) * 255.0 + 0.5,
            Self::PilFloat => (x.clamp(-1.0, 1.0) * 0.5 + 0.5) * 255.0,
        };
        levels.clamp(0.0, 255.0).to_kind(Kind::Uint8)
    }
}

impl fmt::Display for ByteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edm => "127.5 x + 128, truncated",
            Self::ConsistencyModels => "127.5 (x + 1), truncated",
            Self::Round => "127.5 (x + 1), rounded",
            Self::SaveImage => "255 (x / 2 + 1/2) + 1/2, truncated",
            Self::PilFloat => "255 (x / 2 + 1/2), truncated",
        })
    }
}
