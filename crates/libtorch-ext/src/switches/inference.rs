//! Computing without anything that automatic differentiation needs.

use crate::ffi::{self, Message};
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

/// `c10::InferenceMode`.
#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn fewstep_inference_mode_enter(guard: *mut *mut Handle) -> Message;
    fn fewstep_inference_mode_exit(guard: *mut Handle);
}

/// A scope in which this thread computes without graphs, versions and views for differentiation.
///
/// A little less work per operation than `no_grad`. The price: tensors made in it are *inference tensors* for ever.
/// Outside of the scope they can be read, but they cannot be changed in place, an operation with a graph refuses to keep
/// them for its backward pass, and they cannot be made to require a gradient; `copy` (outside) makes ordinary ones of
/// them. So this is for sampling, not for a part of a training step. Guards nest; drop them in the reverse order of
/// their creation, as scopes do.
///
/// # Gradient
/// None.
///
/// # Example
/// ```
/// use libtorch_ext::switches::InferenceMode;
/// use tch::Tensor;
/// let weight = Tensor::from(2f32).set_requires_grad(true);
/// let y = {
///     let _inference = InferenceMode::new();
///     &weight * 3.0
/// };
/// assert_eq!((y.double_value(&[]), y.requires_grad()), (6.0, false));
/// ```
#[derive(Debug)]
#[must_use = "inference mode ends when the guard is dropped"]
pub struct InferenceMode {
    handle: NonNull<Handle>,
    /// The mode is a property of the thread, so the guard must end on the thread it began on.
    not_send: PhantomData<*const ()>,
}

impl InferenceMode {
    /// Starts inference mode on this thread.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let mut handle = null_mut();
        // SAFETY: a place for one pointer.
        let message = unsafe { fewstep_inference_mode_enter(&raw mut handle) };
        super::infallible(ffi::check("switches::InferenceMode", message));
        let handle = NonNull::new(handle).expect("the shim stores a guard or reports an error");
        Self { handle, not_send: PhantomData }
    }
}

impl Drop for InferenceMode {
    fn drop(&mut self) {
        // SAFETY: the guard is live, was made on this thread, and nothing uses it afterwards.
        unsafe { fewstep_inference_mode_exit(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    fn weight() -> Tensor {
        Tensor::from(2f32).set_requires_grad(true)
    }

    #[test]
    fn the_scope_has_no_graph_and_ends() {
        let weight = weight();
        {
            let _outer = InferenceMode::new();
            let _inner = InferenceMode::new();
            assert!(!(&weight * 3.0).requires_grad());
        }
        assert!((&weight * 3.0).requires_grad());
    }

    #[test]
    fn a_panic_ends_the_scope() {
        let caught = std::panic::catch_unwind(|| {
            let _inference = InferenceMode::new();
            panic!("inside the scope");
        });
        assert!(caught.is_err());
        assert!((weight() * 3.0).requires_grad());
    }

    #[test]
    fn its_tensors_can_be_read_and_copied_but_not_changed() {
        let weight = weight();
        let made = {
            let _inference = InferenceMode::new();
            &weight * 3.0
        };
        assert_eq!((&made + 1.0).double_value(&[]), 7.0);
        assert!(weight.f_mul(&made).is_err(), "it would have to be kept for the backward pass");
        let product = &weight * made.copy();
        product.backward();
        assert_eq!(weight.grad().double_value(&[]), 6.0);
        assert!(made.shallow_clone().f_add_(&weight).is_err());
    }
}
