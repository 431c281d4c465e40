//! Reading and removing gradients.

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
}
