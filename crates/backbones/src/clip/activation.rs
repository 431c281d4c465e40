//! What bends between the two layers of a perceptron.

use std::fmt;
use tch::Tensor;

/// The activation of a CLIP transformer. Files do not say which: OpenAI's weights need [`ClipActivation::QuickGelu`],
/// `OpenCLIP`'s [`ClipActivation::Gelu`], unless the name of the model ends with `-quickgelu`.
///
/// # Example
/// ```
/// use backbones::ClipActivation::{Gelu, QuickGelu};
/// let one = tch::Tensor::from(1f32);
/// assert!((Gelu.apply(&one).double_value(&[]) - 0.841_345).abs() < 1e-6);
/// assert!((QuickGelu.apply(&one).double_value(&[]) - 0.845_796).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipActivation {
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x Φ(x)`, with the normal distribution function.
    Gelu,
}

impl ClipActivation {
    /// The activation of each entry.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::QuickGelu => x * (x * 1.702).sigmoid(),
            Self::Gelu => x.gelu("none"),
        }
    }
}

impl fmt::Display for ClipActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuickGelu => "QuickGELU",
            Self::Gelu => "GELU",
        })
    }
}
