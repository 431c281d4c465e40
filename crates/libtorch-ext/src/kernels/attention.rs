//! Attention.

use crate::Result;
use crate::ffi::{self, check};
use std::ptr::null_mut;
use tch::Tensor;

/// Scaled dot-product attention by libtorch's fused kernels, which never hold the matrix of weights.
///
/// ```text
/// softmax over keys of (query · keyᵀ / √D) · value
/// ```
///
/// # Shapes
/// `query`: `[…, Q, D]`; `key`, `value`: `[…, K, D]`; returns `[…, Q, D]`.
///
/// # Gradient
/// Into all three; can be differentiated again, then through the plain formula.
///
/// # Errors
/// [`crate::Error::Torch`] if shapes, kinds or devices do not fit each other.
///
/// # Example
/// ```
/// use tch::{Device, Kind, Tensor};
/// let x = Tensor::ones([1, 1, 4, 8], (Kind::Float, Device::Cpu));
/// assert_eq!(libtorch_ext::kernels::attention(&x, &x, &x)?, x); // the mean of equal values
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn attention(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
    let mut result = null_mut();
    let [query, key, value] = [query, key, value].map(Tensor::as_ptr);
    // SAFETY: pointers to tensors that are borrowed for the call, and a place for one new tensor.
    let message = unsafe { ffi::fewstep_attention(query, key, value, &raw mut result) };
    check("kernels::attention", message)?;
    // SAFETY: on success the shim has made a new tensor and hands it over.
    Ok(unsafe { Tensor::from_ptr(result) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::group_norm::tests::{gradients, relative_error, wave};
    use tch::Kind;

    fn fused([q, k, v]: &[Tensor; 3]) -> Tensor {
        attention(q, k, v).unwrap()
    }

    fn composed([q, k, v]: &[Tensor; 3]) -> Tensor {
        let logits = q.matmul(&k.transpose(-2, -1)) / (q.size()[3] as f64).sqrt();
        logits.softmax(-1, q.kind()).matmul(v)
    }

    fn arguments() -> [Tensor; 3] {
        [[2, 3, 40, 16], [2, 3, 24, 16], [2, 3, 24, 16]].map(|shape| wave(&shape, shape[2] as f64))
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        let leaves = arguments();
        let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
        assert!(relative_error(&fused(&leaves), &composed(&exact)) < 1e-6);
        let (found, expected) = (gradients(&leaves, fused), gradients(&exact, composed));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(relative_error(found, expected) < 1e-5);
        }
    }

    #[test]
    fn the_second_derivative_is_that_of_the_formula() {
        let penalty = |compute: fn(&[Tensor; 3]) -> Tensor, leaves: &[Tensor; 3]| {
            let leaves = leaves.each_ref().map(|t| t.detach().set_requires_grad(true));
            let y = compute(&leaves).square().sum(None);
            let g = Tensor::run_backward(&[y], &[&leaves[0]], true, true);
            g[0].square().sum(None).backward();
            leaves[1].grad()
        };
        let leaves = arguments();
        let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
        assert!(relative_error(&penalty(fused, &leaves), &penalty(composed, &exact)) < 1e-5);
    }
}
