//! How the embedding enters a residual block.

use serde::{Deserialize, Serialize};

/// How a residual block uses the embedding of noise level and conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeScaleShift {
    /// Adds it before the second normalization.
    #[default]
    Default,
    /// Scales and shifts by it after the second normalization.
    ScaleShift,
}
