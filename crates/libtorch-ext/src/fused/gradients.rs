//! Reading, placing and removing gradients.

use super::check_length;
use crate::Result;
use crate::ffi::{self, check, pointers};
use std::ptr::null_mut;
use tch::Tensor;

/// The gradient of every parameter, `None` where backward has left none.
///
/// # Shapes
/// As `params`; handles to the gradients themselves, not copies.
///
/// # Errors
/// [`crate::Error::Torch`] if libtorch refuses a tensor.
pub fn grads(params: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    let pointers = pointers(params);
    let mut grads = vec![null_mut(); params.len()];
    // SAFETY: a list of pointers to tensors that are borrowed for the call, and as many places for new ones.
    let message =
        unsafe { ffi::fewstep_grads(pointers.as_ptr(), pointers.len(), grads.as_mut_ptr()) };
    // SAFETY: each place is null or holds a new tensor that the shim hands over; those of a failed call are freed too.
    let grads = grads
        .into_iter()
        .map(|grad| (!grad.is_null()).then(|| unsafe { Tensor::from_ptr(grad) }))
        .collect();
    check("fused::grads", message)?;
    Ok(grads)
}

/// Gives every parameter a gradient, into which the next backward then accumulates in place.
///
/// The gradients are handles, so views of one buffer make that buffer the gradient of all parameters together.
///
/// # Shapes
/// `grads[i]` as `params[i]`, of the same kind, on the same device.
///
/// # Errors
/// [`crate::Error::LengthMismatch`] if the lists differ in length, [`crate::Error::Torch`] if tensors do not fit each
/// other; nothing is changed then if the sizes are to blame.
///
/// # Example
/// ```
/// use libtorch_ext::fused::bind_grads;
/// use tch::{Device, Kind, Tensor};
/// let params = [Tensor::from(3f32).set_requires_grad(true), Tensor::from(5f32).set_requires_grad(true)];
/// let buffer = Tensor::zeros([2], (Kind::Float, Device::Cpu));
/// bind_grads(&params, &[buffer.get(0), buffer.get(1)])?;
/// (&params[0] * &params[1]).backward();
/// assert_eq!(buffer, Tensor::from_slice(&[5f32, 3.0]));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn bind_grads(params: &[Tensor], grads: &[Tensor]) -> Result<()> {
    const NAME: &str = "fused::bind_grads";
    check_length(NAME, "gradients", params.len(), grads.len())?;
    let (params, grads) = (pointers(params), pointers(grads));
    // SAFETY: two lists of the same length of pointers to tensors that are borrowed for the call.
    let message = unsafe { ffi::fewstep_bind_grads(params.as_ptr(), grads.as_ptr(), params.len()) };
    check(NAME, message)
}

/// Removes the gradient of every parameter, so that the next backward starts from nothing.
///
/// # Errors
/// [`crate::Error::Torch`] if libtorch refuses a tensor.
pub fn zero_grads(params: &[Tensor]) -> Result<()> {
    let pointers = pointers(params);
    // SAFETY: a list of pointers to tensors that are borrowed for the call.
    let message = unsafe { ffi::fewstep_zero_grads(pointers.as_ptr(), pointers.len()) };
    check("fused::zero_grads", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_there_after_backward_and_gone_after_zeroing() {
        let params = [1f32, 2.0].map(|value| Tensor::from(value).set_requires_grad(true));
        params[0].square().backward();
        let found = grads(&params).unwrap();
        assert_eq!(found[0].as_ref().unwrap().double_value(&[]), 2.0);
        assert!(found[1].is_none());

        zero_grads(&params).unwrap();
        assert!(grads(&params).unwrap().iter().all(Option::is_none));
        params[0].square().backward();
        assert_eq!(grads(&params).unwrap()[0].as_ref().unwrap().double_value(&[]), 2.0);
    }

    #[test]
    fn bound_gradients_accumulate_and_misfits_are_refused() {
        let params = [1f32, 2.0].map(|value| Tensor::from(value).set_requires_grad(true));
        let buffer = Tensor::from_slice(&[10f32, 20.0]);
        bind_grads(&params, &[buffer.get(0), buffer.get(1)]).unwrap();
        (0..2).for_each(|_| (&params[0] * 3.0).backward());
        assert_eq!(buffer, Tensor::from_slice(&[16f32, 20.0]));
        let error = bind_grads(&params, &[buffer.get(0), buffer.shallow_clone()]).unwrap_err();
        assert!(error.to_string().contains("gradient 1 has sizes [2]"), "{error}");
        assert!(bind_grads(&params, &[buffer.get(0)]).is_err());
        zero_grads(&params).unwrap();
        assert!(grads(&params).unwrap().iter().all(Option::is_none));
    }
}
