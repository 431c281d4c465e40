//! The functions of the C++ shim, and the two conversions that every call needs.

use crate::{Error, Result};
use std::ffi::{CStr, c_char};
use tch::Tensor;
use torch_sys::C_tensor;

/// A message in memory from `malloc`, or null for success.
type Message = *mut c_char;

/// Mirrors `AutocastState` of `cpp/autocast.cpp`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct AutocastState {
    cuda: bool,
    enabled: bool,
    cache_enabled: bool,
    dtype: i8,
}

/// Mirrors `AdamStep` of `cpp/fused.cpp`.
#[repr(C)]
pub(crate) struct AdamStep {
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    pub(crate) decoupled: bool,
}

unsafe extern "C" {
    pub(crate) fn fewstep_libtorch_cpu_path() -> *const c_char;

    pub(crate) fn fewstep_autocast_enter_bf16(cuda: bool, previous: *mut AutocastState) -> Message;
    pub(crate) fn fewstep_autocast_exit(previous: *const AutocastState) -> Message;

    pub(crate) fn fewstep_adam_step(
        parameters: *const *const C_tensor,
        gradients: *const *const C_tensor,
        exp_avg: *const *const C_tensor,
        exp_avg_sq: *const *const C_tensor,
        count: usize,
        updates: *const C_tensor,
        step: *const AdamStep,
        divisor: *const C_tensor,
        skip: *const C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_lerp(
        targets: *const *const C_tensor,
        sources: *const *const C_tensor,
        count: usize,
        weights: *const f64,
    ) -> Message;
    pub(crate) fn fewstep_scale(
        targets: *const *const C_tensor,
        count: usize,
        factor: *const C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_norms(
        values: *const *const C_tensor,
        count: usize,
        norms: *mut *mut C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_grads(
        parameters: *const *const C_tensor,
        count: usize,
        gradients: *mut *mut C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_bind_grads(
        parameters: *const *const C_tensor,
        gradients: *const *const C_tensor,
        count: usize,
    ) -> Message;
    pub(crate) fn fewstep_zero_grads(parameters: *const *const C_tensor, count: usize) -> Message;
}

/// The addresses of the C++ tensors behind `tensors`, valid while `tensors` is borrowed.
pub(crate) fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// Turns the shim's message into a result and frees it.
pub(crate) fn check(operation: &'static str, message: Message) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns either null or a zero-terminated string from `strdup` that it hands over to its caller;
    // it is read before it is freed, once.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().trim_end().to_owned();
        libc::free(message.cast());
        text
    };
    Err(Error::Torch { operation, message: text })
}
