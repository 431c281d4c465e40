//! Moving averages.

use super::check_length;
use crate::Result;
use crate::ffi::{self, check, pointers};
use tch::Tensor;

/// Moves every target towards its source, in place: `target ← target + weight (source − target)`.
///
/// An exponential moving average with decay `d` is `weight = 1 − d`.
///
/// # Shapes
/// `sources[i]` as `targets[i]`, of the same kind, on the same device; `weights[i]` belongs to both. A source may stand
/// in the list more than once, a target must not.
///
/// # Gradient
/// None is recorded.
///
/// # Errors
/// [`crate::Error::LengthMismatch`] if the lists differ in length, [`crate::Error::Torch`] if tensors do not fit each other.
///
/// # Example
/// ```
/// use tch::Tensor;
/// let (average, value) = ([Tensor::from_slice(&[1f32])], [Tensor::from_slice(&[3f32])]);
/// libtorch_ext::fused::lerp_(&average, &value, &[0.25])?;
/// assert_eq!(average[0].double_value(&[0]), 1.5);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn lerp_(targets: &[Tensor], sources: &[Tensor], weights: &[f64]) -> Result<()> {
    const NAME: &str = "fused::lerp_";
    check_length(NAME, "sources", targets.len(), sources.len())?;
    check_length(NAME, "weights", targets.len(), weights.len())?;
    if targets.is_empty() {
        return Ok(());
    }
    let (targets, sources) = (pointers(targets), pointers(sources));
    // SAFETY: two lists of pointers to tensors and one of numbers, all of the same length and borrowed for the call.
    let message = unsafe {
        ffi::fewstep_lerp(targets.as_ptr(), sources.as_ptr(), targets.len(), weights.as_ptr())
    };
    check(NAME, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn every_target_moves_and_no_source_does() {
        let targets =
            [Tensor::from_slice(&[0f32, 2.0]), Tensor::from(1f32).set_requires_grad(true)];
        let sources = [Tensor::from_slice(&[4f32, 2.0]), Tensor::from(-1f32)];
        lerp_(&targets, &sources, &[0.25, 0.5]).unwrap();
        assert_eq!(targets[0], Tensor::from_slice(&[1f32, 2.0]));
        assert_eq!(targets[1].double_value(&[]), 0.0);
        assert_eq!(sources[0], Tensor::from_slice(&[4f32, 2.0]));
    }

    #[test]
    fn misfits_are_errors() {
        let targets = [Tensor::from_slice(&[0f32, 2.0])];
        assert!(matches!(
            lerp_(&targets, &[], &[0.5]).unwrap_err(),
            Error::LengthMismatch { found: 0, .. }
        ));
        assert!(lerp_(&targets, &targets, &[]).unwrap_err().to_string().contains("0 weights"));
        let sources = [Tensor::from_slice(&[1f32, 2.0, 3.0])];
        let shape = lerp_(&targets, &sources, &[0.5]).unwrap_err();
        assert!(matches!(shape, Error::Torch { operation: "fused::lerp_", .. }), "{shape}");
    }
}
