//! The conversions that every call of the C++ shim needs, and the functions of autocast and of fused updates. Other
//! functions are declared where they are called.

use crate::{Error, Result};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

/// A message in memory from `malloc`, or null for success.
pub(crate) type Message = *mut c_char;

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

    pub(crate) fn fewstep_store_connect(
        host: *const c_char,
        port: u16,
        serve: bool,
        prefix: *const c_char,
        timeout_ms: i64,
        store: *mut *mut c_void,
    ) -> Message;
    pub(crate) fn fewstep_store_free(store: *mut c_void);
    pub(crate) fn fewstep_store_set(
        store: *const c_void,
        key: *const c_char,
        value: *const u8,
        length: usize,
    ) -> Message;
    pub(crate) fn fewstep_store_get(
        store: *const c_void,
        key: *const c_char,
        value: *mut *mut u8,
        length: *mut usize,
    ) -> Message;
    pub(crate) fn fewstep_gloo_connect(
        store: *const c_void,
        rank: i32,
        size: i32,
        address: *const c_char,
        interface: bool,
        timeout_ms: i64,
        group: *mut *mut c_void,
    ) -> Message;
    pub(crate) fn fewstep_group_free(group: *mut c_void);
    pub(crate) fn fewstep_all_reduce_sum(group: *mut c_void, tensor: *const C_tensor) -> Message;
    pub(crate) fn fewstep_broadcast(
        group: *mut c_void,
        tensor: *const C_tensor,
        root: i32,
    ) -> Message;
    pub(crate) fn fewstep_all_gather(
        group: *mut c_void,
        gathered: *const *const C_tensor,
        count: usize,
        tensor: *const C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_barrier(group: *mut c_void) -> Message;

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

    pub(crate) fn fewstep_convolve(
        x: *const C_tensor,
        weight: *const C_tensor,
        prepared: *const C_tensor,
        bias: *const C_tensor,
        shift: *const C_tensor,
        residual: *const C_tensor,
        scale: f64,
        result: *mut *mut C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_prepare_weight(
        weight: *const C_tensor,
        prepared: *mut *mut C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_attention(
        query: *const C_tensor,
        key: *const C_tensor,
        value: *const C_tensor,
        result: *mut *mut C_tensor,
    ) -> Message;
    pub(crate) fn fewstep_group_norm(
        x: *const C_tensor,
        groups: i64,
        gamma: *const C_tensor,
        beta: *const C_tensor,
        eps: f64,
        silu: bool,
        result: *mut *mut C_tensor,
    ) -> Message;
}

/// The address of the C++ tensor behind `tensor`, null for none; valid while it is borrowed.
pub(crate) fn pointer_or_null(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr).cast()
}

/// The addresses of the C++ tensors behind `tensors`, valid while `tensors` is borrowed.
pub(crate) fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// Calls the shim with a place for one new tensor, and takes the tensor over.
pub(crate) fn new_tensor(
    operation: &'static str,
    call: impl FnOnce(*mut *mut C_tensor) -> Message,
) -> Result<Tensor> {
    let mut pointer = null_mut();
    check(operation, call(&raw mut pointer))?;
    // SAFETY: on success the shim has stored the address of a new tensor, which nobody else owns.
    Ok(unsafe { Tensor::from_ptr(pointer) })
}

/// The message of an error of `tch`, as an error of this crate.
pub(crate) fn torch_error(operation: &'static str, error: &TchError) -> Error {
    let text = error.to_string();
    // The first line is libtorch's message; the rest is where in libtorch it was thrown.
    let message = text.lines().next().unwrap_or_default().to_owned();
    Error::Torch { operation, message }
}

/// The number by which the shim knows a device: negative for the CPU.
///
/// # Errors
/// [`Error::NoDevice`] if this process cannot use the device.
pub(crate) fn device_index(operation: &'static str, device: Device) -> Result<c_int> {
    match device {
        Device::Cpu => Ok(-1),
        _ => crate::cuda::index(operation, device),
    }
}

/// Turns the shim's message into a result and frees it.
pub(crate) fn check(operation: &'static str, message: Message) -> Result<()> {
    reported(message).map_err(|message| Error::Torch { operation, message })
}

/// The shim's message, if there is one, freed.
pub(crate) fn reported(message: Message) -> Result<(), String> {
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
    Err(text)
}
