//! The arithmetic of the networks.

use libtorch_ext::process::{CpuBf16, cpu_bf16};
use serde::{Deserialize, Serialize};
use tch::Device;

/// The arithmetic of the networks' forward and backward passes.
///
/// Weights, optimizers and averages are always `f32`; so are losses, norms and softmax, whatever the precision.
///
/// # Example
/// ```
/// use distill_trainer::Precision;
/// let decided = Precision::Auto.resolve(tch::Device::Cpu);
/// assert!(decided == Precision::F32 || decided == Precision::Bf16);
/// assert_eq!(Precision::F32.resolve(tch::Device::Cpu), Precision::F32);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// [`Precision::Bf16`] where the hardware gains by it (CUDA, processors with AMX tiles), otherwise
    /// [`Precision::F32`]. Decided when a run starts and
    /// saved with it, so that a run that is resumed on other hardware says so.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// Convolutions and matrix products in bfloat16 (libtorch's autocast).
    Bf16,
}

impl Precision {
    /// What [`Precision::Auto`] means on `device`; the others are returned as they are.
    #[must_use]
    pub fn resolve(self, device: Device) -> Self {
        match self {
            Self::Auto if gains_by_bf16(device) => Self::Bf16,
            Self::Auto => Self::F32,
            decided => decided,
        }
    }
}

/// Whether `bfloat16` is faster than `f32` there. A processor with vector instructions alone does not gain: libtorch's
/// `bfloat16` convolutions are slower than the `f32` ones of [`libtorch_ext::kernels`].
fn gains_by_bf16(device: Device) -> bool {
    match device {
        Device::Cuda(_) => true,
        Device::Cpu => cpu_bf16() == CpuBf16::Tiles,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_decided_and_nothing_else_is() {
        assert_eq!(Precision::Auto.resolve(Device::Cuda(0)), Precision::Bf16);
        assert_ne!(Precision::Auto.resolve(Device::Cpu), Precision::Auto);
        assert_eq!(Precision::Auto.resolve(Device::Mps), Precision::F32);
        assert_eq!(Precision::Bf16.resolve(Device::Mps), Precision::Bf16);
        assert_eq!(serde_json::to_value(Precision::Bf16).unwrap(), "bf16");
    }
}
