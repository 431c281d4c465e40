//! Settings of libtorch that change how operations compute, and by how much their results differ.
//!
//! Plain functions set what a program decides once, at its start. Guards ([`MathAttention`], [`WithoutOneDnn`],
//! [`InferenceMode`]) hold for as long as they live.

mod attention;
mod inference;
mod onednn;
mod overlap;

pub use attention::MathAttention;
pub use inference::InferenceMode;
pub use onednn::WithoutOneDnn;

use crate::Result;
use crate::ffi::{self, Message};
use std::ffi::c_int;

unsafe extern "C" {
    fn fewstep_set_matmul_precision(precision: c_int) -> Message;
    fn fewstep_matmul_precision(precision: *mut c_int) -> Message;
    fn fewstep_set_tf32_convolutions(allowed: bool) -> Message;
    fn fewstep_set_deterministic(on: bool, warn_only: bool) -> Message;
    fn fewstep_set_flush_denormal(on: bool, supported: *mut bool) -> Message;
}

/// How exactly matrix products of `f32` tensors are computed, in the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulPrecision {
    /// In `f32`: 24 bits of mantissa. The default.
    Highest,
    /// In TF32 on GPUs that have it: 11 bits of mantissa, several times as fast.
    High,
    /// In the fastest type there is, such as `bf16` (8 bits) on processors that have it.
    Medium,
}

/// Chooses how exactly matrix products of `f32` tensors are computed, in the whole process.
///
/// # Example
/// ```
/// use libtorch_ext::switches::{MatmulPrecision, matmul_precision, set_matmul_precision};
/// assert_eq!(matmul_precision(), MatmulPrecision::Highest);
/// set_matmul_precision(MatmulPrecision::High);
/// assert_eq!(matmul_precision(), MatmulPrecision::High);
/// ```
pub fn set_matmul_precision(precision: MatmulPrecision) {
    let code = match precision {
        MatmulPrecision::Highest => 0,
        MatmulPrecision::High => 1,
        MatmulPrecision::Medium => 2,
    };
    // SAFETY: one of the three codes.
    let message = unsafe { fewstep_set_matmul_precision(code) };
    infallible(ffi::check("switches::set_matmul_precision", message));
}

/// How exactly matrix products of `f32` tensors are computed.
pub fn matmul_precision() -> MatmulPrecision {
    let mut code = 0;
    // SAFETY: a place for the answer.
    let message = unsafe { fewstep_matmul_precision(&raw mut code) };
    infallible(ffi::check("switches::matmul_precision", message));
    [MatmulPrecision::Highest, MatmulPrecision::High, MatmulPrecision::Medium][code as usize % 3]
}

/// Whether cuDNN may compute convolutions of `f32` tensors in TF32, in the whole process. It may by default.
pub fn set_tf32_convolutions(allowed: bool) {
    // SAFETY: a plain setter.
    let message = unsafe { fewstep_set_tf32_convolutions(allowed) };
    infallible(ffi::check("switches::set_tf32_convolutions", message));
}

/// What happens at an operation whose result is not the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Determinism {
    /// It runs. The default.
    Free,
    /// A deterministic variant runs if there is one; otherwise libtorch warns on the standard error.
    Warn,
    /// A deterministic variant runs if there is one; otherwise it is an error.
    Require,
}

/// Chooses what happens at operations whose result is not the same in every run, in the whole process.
///
/// On the CPU fewstep uses none. On a GPU, backward passes of some gathering and resizing operations add in an order that
/// varies; matrix products are reproducible only if `CUBLAS_WORKSPACE_CONFIG=:4096:8` is set in the environment, too.
pub fn set_determinism(determinism: Determinism) {
    let (on, warn) = (determinism != Determinism::Free, determinism == Determinism::Warn);
    // SAFETY: a plain setter.
    let message = unsafe { fewstep_set_deterministic(on, warn) };
    infallible(ffi::check("switches::set_determinism", message));
}

/// Whether this thread rounds numbers below the normal range (1e-38 for `f32`) to zero; false if the processor cannot.
///
/// Such numbers can be many times slower to compute with. Call it at the start of `main`: threads inherit the setting
/// from the thread that starts them, and libtorch's own are started by the first large operation.
pub fn set_flush_denormal(on: bool) -> bool {
    let mut supported = false;
    // SAFETY: a place for the answer.
    let message = unsafe { fewstep_set_flush_denormal(on, &raw mut supported) };
    infallible(ffi::check("switches::set_flush_denormal", message));
    supported
}

/// libtorch's plain setters cannot fail with arguments of these types.
fn infallible(result: Result<()>) {
    result.expect("libtorch accepts every value of its own settings");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn the_precision_is_what_was_set() {
        use MatmulPrecision::{High, Highest, Medium};
        for precision in [High, Medium, Highest] {
            set_matmul_precision(precision);
            assert_eq!(matmul_precision(), precision);
        }
        set_tf32_convolutions(true);
    }

    /// Writing two values into one place without adding them up is such an operation on every device.
    #[test]
    fn an_irreproducible_operation_can_be_refused() {
        let write = || {
            let mut target = Tensor::zeros([2], (Kind::Float, Device::Cpu));
            let places = Tensor::from_slice(&[0i64, 0]);
            target.f_put_(&places, &Tensor::from_slice(&[1f32, 2.0]), false).map(|_| ())
        };
        assert!(write().is_ok());
        set_determinism(Determinism::Require);
        let refused = write();
        set_determinism(Determinism::Free);
        assert!(refused.unwrap_err().to_string().contains("deterministic"));
        assert!(write().is_ok());
    }

    #[test]
    fn numbers_below_the_normal_range_can_be_flushed() {
        let halved = || (Tensor::from(f32::MIN_POSITIVE) * 0.5).double_value(&[]);
        // On a thread of its own, since the setting is one of the thread.
        std::thread::spawn(move || {
            assert!(halved() > 0.0);
            if set_flush_denormal(true) {
                assert_eq!(halved(), 0.0);
                set_flush_denormal(false);
                assert!(halved() > 0.0);
            }
        })
        .join()
        .unwrap();
    }
}
