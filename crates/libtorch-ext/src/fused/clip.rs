//! Gradient clipping: the norm of everything, and a factor on everything.

use crate::Result;
use crate::ffi::{self, check, pointers};
use std::ptr::null_mut;
use tch::Tensor;

/// The Euclidean norm of every tensor, as one vector on their device.
///
/// A norm that is not finite points to the tensor that holds NaN or an infinity (or values whose squares overflow).
///
/// # Shapes
/// `tensors`: any, on one device; returns `[tensors.len()]`.
///
/// # Gradient
/// None is recorded.
///
/// # Errors
/// [`crate::Error::Torch`] if the list is empty or libtorch refuses a tensor.
///
/// # Example
/// ```
/// use tch::Tensor;
/// let norms = libtorch_ext::fused::norms(&[Tensor::from(-3f32), Tensor::from_slice(&[0f32, 4.0])])?;
/// assert_eq!(norms, Tensor::from_slice(&[3f32, 4.0]));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn norms(tensors: &[Tensor]) -> Result<Tensor> {
    let pointers = pointers(tensors);
    let mut norms = null_mut();
    // SAFETY: a list of pointers to tensors that are borrowed for the call, and a place for one new tensor.
    let message = unsafe { ffi::fewstep_norms(pointers.as_ptr(), pointers.len(), &raw mut norms) };
    check("fused::norms", message)?;
    // SAFETY: on success the shim has made a new tensor and hands it over.
    Ok(unsafe { Tensor::from_ptr(norms) })
}

/// The Euclidean norm of all tensors together, as a scalar on their device: the norm of their [`norms`].
///
/// # Errors
/// As [`norms`].
///
/// # Example
/// ```
/// use tch::Tensor;
/// let norm = libtorch_ext::fused::global_norm(&[Tensor::from(3f32), Tensor::from_slice(&[0f32, 4.0])])?;
/// assert_eq!(norm.double_value(&[]), 5.0);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn global_norm(tensors: &[Tensor]) -> Result<Tensor> {
    Ok(norms(tensors)?.norm())
}

/// Multiplies every tensor by `factor`, in place.
///
/// # Shapes
/// `tensors`: any, on one device; `factor`: `[]` on that device.
///
/// # Gradient
/// None is recorded.
///
/// # Errors
/// [`crate::Error::Torch`] if `factor` is no scalar or lies on another device.
///
/// # Example
/// ```
/// use libtorch_ext::fused::{global_norm, scale_};
/// use tch::Tensor;
/// // Clipping to norm 1 without waiting for the device.
/// let grads = [Tensor::from_slice(&[3f32, 4.0])];
/// scale_(&grads, &(global_norm(&grads)? + 1e-6).reciprocal().clamp_max(1.0))?;
/// assert!((grads[0].double_value(&[1]) - 0.8).abs() < 1e-6);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn scale_(tensors: &[Tensor], factor: &Tensor) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    let pointers = pointers(tensors);
    // SAFETY: a list of pointers to tensors, and one tensor, that are borrowed for the call.
    let message = unsafe { ffi::fewstep_scale(pointers.as_ptr(), pointers.len(), factor.as_ptr()) };
    check("fused::scale_", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_norm_is_that_of_all_elements_together() {
        let tensors = [Tensor::ones([3, 4], (Kind::Float, Device::Cpu)), Tensor::from(-2f32)];
        let norm = global_norm(&tensors).unwrap();
        assert_eq!(norm.size(), [0i64; 0]);
        assert_eq!(norm.double_value(&[]), 4.0);
    }

    #[test]
    fn a_single_bad_number_shows_in_the_norm() {
        let tensors = [Tensor::from(1f32), Tensor::from_slice(&[0.0, f32::NAN])];
        assert!(global_norm(&tensors).unwrap().double_value(&[]).is_nan());
    }

    #[test]
    fn a_bad_number_shows_in_the_norm_of_its_tensor_alone() {
        let tensors = [Tensor::from(1f32), Tensor::from_slice(&[0.0, f32::INFINITY])];
        let finite = Vec::<bool>::try_from(norms(&tensors).unwrap().isfinite()).unwrap();
        assert_eq!(finite, [true, false]);
    }

    #[test]
    fn nothing_has_no_norm() {
        assert!(global_norm(&[]).is_err());
    }

    #[test]
    fn every_tensor_is_scaled() {
        let tensors =
            [Tensor::from_slice(&[1f32, -2.0]), Tensor::from(3f32).set_requires_grad(true)];
        scale_(&tensors, &Tensor::from(0.5f32)).unwrap();
        assert_eq!(tensors[0], Tensor::from_slice(&[0.5f32, -1.0]));
        assert_eq!(tensors[1].double_value(&[]), 1.5);
    }

    #[test]
    fn a_factor_that_is_no_scalar_is_refused() {
        let factors = Tensor::from_slice(&[1f32, 2.0]);
        assert!(scale_(&[Tensor::from(1f32)], &factors).is_err());
    }
}
