//! Computing twice instead of keeping.

use crate::ffi::{self, Message, pointers};
use crate::{Error, Result};
use std::any::Any;
use std::ffi::{CString, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tch::Tensor;
use torch_sys::C_tensor;

/// Mirrors `Closure` of `cpp/checkpoint.cpp`.
#[repr(C)]
struct Closure {
    data: *mut c_void,
    call: unsafe extern "C" fn(
        *mut c_void,
        *const *mut C_tensor,
        usize,
        *mut *mut C_tensor,
    ) -> Message,
    release: unsafe extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    fn fewstep_checkpoint(
        closure: *const Closure,
        inputs: *const *const C_tensor,
        input_count: usize,
        params: *const *const C_tensor,
        param_count: usize,
        output: *mut *mut C_tensor,
    ) -> Message;
}

/// `f(inputs)`, without keeping what the backward pass needs: that is computed again when it is needed.
///
/// For a segment of a network this trades one more forward pass for the memory of all of its intermediate values. Only
/// `inputs` and the result are kept. Segments may contain segments.
///
/// `f` is called once now, without a graph, and once in each backward pass through it, with one. Both calls must compute
/// the same: take random numbers (dropout masks) from a source that is captured by value and cloned in each call, and
/// change nothing outside. Autocast is in the second call as it was in the first; the cache of casted weights is not
/// used in either. `f` must be `Send`, because libtorch runs the backward pass of a GPU on a thread of its own: capture
/// `shallow_clone`s of the weights. Weights may not be changed in place between the two calls (libtorch notices).
///
/// # Shapes
/// As `f`.
///
/// # Gradient
/// Into `inputs` and `params`. A captured tensor that requires a gradient and is not listed is an error in the backward
/// pass, never a gradient that is silently missing. Differentiating twice (`create_graph`) is refused in the backward
/// pass.
///
/// # Errors
/// - [`Error::NotALeaf`] if a parameter has a graph of its own;
/// - [`Error::Torch`] if `f` panics, with the message of the panic.
///
/// In the backward pass, the same becomes an error of the function that runs it (`Tensor::backward` panics then,
/// `f_backward` and [`crate::autograd::grad`] return it).
///
/// # Example
/// ```
/// use libtorch_ext::autograd::checkpoint;
/// use tch::Tensor;
/// let x = Tensor::from(3f32).set_requires_grad(true);
/// let weight = Tensor::from(2f32).set_requires_grad(true);
/// let captured = weight.shallow_clone();
/// let y = checkpoint(move |x| (&x[0] * &captured).square(), &[x.shallow_clone()], &[weight.shallow_clone()])?;
/// y.backward();
/// assert_eq!((x.grad().double_value(&[]), weight.grad().double_value(&[])), (24.0, 36.0));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn checkpoint<F>(f: F, inputs: &[Tensor], params: &[Tensor]) -> Result<Tensor>
where
    F: Fn(&[Tensor]) -> Tensor + Send + 'static,
{
    if let Some(index) = params.iter().position(|param| !param.is_leaf()) {
        return Err(Error::NotALeaf { index });
    }
    let data = Box::into_raw(Box::new(f)).cast();
    let closure = Closure { data, call: call::<F>, release: release::<F> };
    let (inputs, params) = (pointers(inputs), pointers(params));
    ffi::new_tensor("autograd::checkpoint", |output| {
        // SAFETY: two lists of pointers to tensors that are borrowed for the call, and a place for one new tensor. The shim
        // takes the closure over and releases it once; the functions fit the type of the closure, which may move to
        // another thread and which the shim calls from one thread at a time.
        unsafe {
            fewstep_checkpoint(
                &raw const closure,
                inputs.as_ptr(),
                inputs.len(),
                params.as_ptr(),
                params.len(),
                output,
            )
        }
    })
}

/// Calls the closure behind `data`; null and an output, or a message from `malloc`.
///
/// # Safety
/// `data` is a boxed `F`, `inputs` a list of `count` tensors, `output` a place for one.
unsafe extern "C" fn call<F: Fn(&[Tensor]) -> Tensor>(
    data: *mut c_void,
    inputs: *const *mut C_tensor,
    count: usize,
    output: *mut *mut C_tensor,
) -> Message {
    let evaluate = || {
        // SAFETY: promised by the caller; the box outlives the call.
        let f = unsafe { &*data.cast::<F>() };
        // SAFETY: promised by the caller; a list without elements may have no address, so it is not made into a slice.
        let handle = |i| unsafe { Tensor::clone_from_ptr(*inputs.add(i)) };
        f(&(0..count).map(handle).collect::<Vec<_>>())
    };
    match catch_unwind(AssertUnwindSafe(evaluate)) {
        Ok(tensor) => {
            // SAFETY: promised by the caller, who takes the tensor over; it is not dropped here.
            unsafe { *output = ManuallyDrop::new(tensor).as_mut_ptr() };
            std::ptr::null_mut()
        }
        Err(panic) => message(&format!("the closure panicked: {}", panic_text(&*panic))),
    }
}

/// Drops the closure behind `data`.
///
/// # Safety
/// `data` is a boxed `F` that is not used afterwards.
unsafe extern "C" fn release<F>(data: *mut c_void) {
    // SAFETY: promised by the caller. What a panicking destructor leaves behind is nobody's any more.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(data.cast::<F>()) })));
}

/// A copy of `text` in memory from `malloc`.
fn message(text: &str) -> Message {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: a zero-terminated string.
    unsafe { libc::strdup(text.as_ptr()) }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next()).unwrap_or("without a message")
}
