//! Attention from plain operations.

use super::overlap::Overlap;
use crate::ffi::{self, Message};

/// Mirrors `AttentionKernels` of `cpp/switches.cpp`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Kernels {
    flash: bool,
    memory_efficient: bool,
    cudnn: bool,
    math: bool,
}

unsafe extern "C" {
    fn fewstep_set_attention_kernels(allowed: *const Kernels, previous: *mut Kernels) -> Message;
}

static GUARDS: Overlap<Kernels> = Overlap::new();

/// A scope in which `scaled_dot_product_attention` is made of matrix products and a softmax.
///
/// The fused kernels that it otherwise chooses have no derivative in forward mode and no second derivative. The setting
/// is one of the whole process; it ends with the last of several guards.
///
/// # Example
/// ```
/// use libtorch_ext::{autograd::jvp, switches::MathAttention};
/// use tch::{Device, Kind, Tensor};
/// let x = Tensor::ones([1, 1, 4, 8], (Kind::Float, Device::Cpu));
/// let attend = |x: &[Tensor]| {
///     Tensor::scaled_dot_product_attention(&x[0], &x[0], &x[0], None::<&Tensor>, 0.0, false, None, false)
/// };
/// let _math = MathAttention::new();
/// let (_, derivative) = jvp(attend, &[x.shallow_clone()], &[x.shallow_clone()])?;
/// assert!((derivative - x).abs().max().double_value(&[]) < 1e-6);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "fused attention is back when the guard is dropped"]
pub struct MathAttention(());

impl MathAttention {
    /// Allows no kernel but the plain one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        GUARDS.enter(|| set(Kernels { math: true, ..Kernels::default() }));
        Self(())
    }
}

impl Drop for MathAttention {
    fn drop(&mut self) {
        GUARDS.exit(|previous| {
            set(previous);
        });
    }
}

/// Returns what was allowed before.
fn set(allowed: Kernels) -> Kernels {
    let mut previous = Kernels::default();
    // SAFETY: a struct that the shim reads and a place for one that it fills.
    let message = unsafe { fewstep_set_attention_kernels(&raw const allowed, &raw mut previous) };
    super::infallible(ffi::check("switches::MathAttention", message));
    previous
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{GradOptions, grad};
    use tch::{Device, Kind, Tensor};

    /// The gradient of the squared gradient of attention, or an error where that has no formula.
    fn second_derivative() -> crate::Result<Tensor> {
        let x = Tensor::arange(64, (Kind::Float, Device::Cpu)).sin().reshape([1, 2, 4, 8]);
        let x = x.set_requires_grad(true);
        let y = Tensor::scaled_dot_product_attention(
            &x,
            &x,
            &x,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        );
        let inputs = [x];
        let create_graph = GradOptions { create_graph: true, ..GradOptions::default() };
        let first = grad(&y.square().sum(Kind::Float), &inputs, create_graph)?.remove(0).unwrap();
        let second = grad(&first.square().sum(Kind::Float), &inputs, GradOptions::default())?;
        Ok(second.into_iter().next().flatten().unwrap())
    }

    #[test]
    fn attention_has_a_second_derivative_within_the_scope_only() {
        {
            let outer = MathAttention::new();
            let inner = MathAttention::new();
            drop(outer);
            assert!(second_derivative().unwrap().abs().max().double_value(&[]) > 0.0);
            drop(inner);
        }
        let error = second_derivative().unwrap_err();
        assert!(error.to_string().contains("not implemented"), "{error}");
    }
}
