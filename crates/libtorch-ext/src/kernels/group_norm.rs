//! Group normalization.

use crate::Result;
use crate::ffi::{self, check};
use std::ptr::null_mut;
use tch::Tensor;

/// Group normalization followed by SiLU.
///
/// ```text
/// u = (x − mean) / √(variance + eps) · weight + bias,     y = u · sigmoid(u)
/// ```
///
/// Mean and variance are those of an image's group of channels.
///
/// # Shapes
/// `x`: `[N, C, H, W]`; `weight`, `bias`: `[C]`; `groups` divides `C`. Returns the shape of `x`.
///
/// # Gradient
/// Into `x`, `weight` and `bias`.
///
/// # Errors
/// [`crate::Error::Torch`] if shapes, kinds or devices do not fit each other.
///
/// # Source
/// Wu & He 2018, arXiv:1803.08494.
///
/// # Example
/// ```
/// use tch::{Device, Kind, Tensor};
/// let x = Tensor::arange(64, (Kind::Float, Device::Cpu)).view([1, 16, 2, 2]);
/// let [weight, bias] = [1.0, 0.0].map(|v| Tensor::full([16], v, (Kind::Float, Device::Cpu)));
/// let y = libtorch_ext::kernels::group_norm_silu(&x, 4, &weight, &bias, 1e-6)?;
/// assert!(y.allclose(&x.group_norm(4, Some(&weight), Some(&bias), 1e-6, true).silu(), 1e-5, 1e-6, false));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn group_norm_silu(
    x: &Tensor,
    groups: i64,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    run(x, groups, [weight, bias], eps, true)
}

/// [`group_norm_silu`] without the SiLU.
///
/// # Errors
/// As there.
pub fn group_norm(
    x: &Tensor,
    groups: i64,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    run(x, groups, [weight, bias], eps, false)
}

fn run(x: &Tensor, groups: i64, affine: [&Tensor; 2], eps: f64, silu: bool) -> Result<Tensor> {
    let mut result = null_mut();
    let [weight, bias] = affine.map(Tensor::as_ptr);
    // SAFETY: pointers to tensors that are borrowed for the call, and a place for one new tensor.
    let message = unsafe {
        ffi::fewstep_group_norm(x.as_ptr(), groups, weight, bias, eps, silu, &raw mut result)
    };
    check("kernels::group_norm", message)?;
    // SAFETY: on success the shim has made a new tensor and hands it over.
    Ok(unsafe { Tensor::from_ptr(result) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Smooth, different numbers of unit size; images lie with channels last.
    pub(crate) fn wave(shape: &[i64], phase: f64) -> Tensor {
        let count: i64 = shape.iter().product();
        let angle = Tensor::arange(count, (Kind::Double, Device::Cpu)).square() * 0.37 + phase;
        let values = (angle.sin() * 1.4).to_kind(Kind::Float).view(shape);
        if shape.len() == 4 {
            return values.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        }
        values
    }

    /// Largest difference in units of the largest expected number.
    pub(crate) fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
        let found = found.to_kind(Kind::Double);
        let difference = (found - expected.to_kind(Kind::Double)).abs().max();
        (difference / expected.abs().max()).double_value(&[])
    }

    /// The gradients of a weighted sum of `compute`'s results.
    pub(crate) fn gradients<const N: usize>(
        leaves: &[Tensor; N],
        compute: impl Fn(&[Tensor; N]) -> Tensor,
    ) -> Vec<Tensor> {
        let leaves = leaves.each_ref().map(|t| t.detach().set_requires_grad(true));
        let y = compute(&leaves);
        let weights = wave(&y.size(), 9.0).to_kind(y.kind());
        (y * weights).sum(None).backward();
        leaves.iter().map(Tensor::grad).collect()
    }

    fn arguments([n, c, h, w]: [i64; 4], amplitude: f64) -> [Tensor; 3] {
        [wave(&[n, c, h, w], 1.0) * amplitude + 0.3 * amplitude, wave(&[c], 2.0), wave(&[c], 3.0)]
    }

    fn fused([x, weight, bias]: &[Tensor; 3], groups: i64, silu: bool) -> Tensor {
        run(x, groups, [weight, bias], 1e-6, silu).unwrap()
    }

    fn composed([x, weight, bias]: &[Tensor; 3], groups: i64, silu: bool) -> Tensor {
        let u = x.group_norm(groups, Some(weight), Some(bias), 1e-6, true);
        if silu { u.silu() } else { u }
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        for (sizes, groups) in
            [([3, 32, 8, 8], 8), ([1, 64, 5, 7], 4), ([2, 96, 4, 4], 2), ([5, 16, 1, 1], 4)]
        {
            for (amplitude, silu) in [(1.0, true), (1.0, false), (1e-3, true), (50.0, true)] {
                let leaves = arguments(sizes, amplitude);
                let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
                let error =
                    relative_error(&fused(&leaves, groups, silu), &composed(&exact, groups, silu));
                assert!(error < 2e-6, "{sizes:?} {amplitude}: {error}");
                let found = gradients(&leaves, |leaves| fused(leaves, groups, silu));
                let expected = gradients(&exact, |leaves| composed(leaves, groups, silu));
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = relative_error(found, expected);
                    assert!(error < 2e-5, "{sizes:?} {amplitude}, argument {i}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_mean_far_from_zero_costs_few_digits() {
        let [x, weight, bias] = arguments([2, 32, 16, 16], 1.0);
        let leaves = [x + 1000.0, weight, bias];
        let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
        let error = relative_error(&fused(&leaves, 8, true), &composed(&exact, 8, true));
        assert!(error < 2e-4, "{error}"); // the input itself has lost four digits
    }

    #[test]
    fn large_inputs_saturate() {
        let x = Tensor::from_slice(&[-200f32, 200.0]).repeat([32]).view([1, 16, 2, 2]);
        let x = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let [weight, bias] =
            [100.0, 0.0].map(|v| Tensor::full([16], v, (Kind::Float, Device::Cpu)));
        let y = group_norm_silu(&x, 4, &weight, &bias, 1e-6).unwrap();
        assert!((y.max().double_value(&[]) - 100.0).abs() < 1e-3);
        assert!(y.min().double_value(&[]).abs() < 1e-30);
    }

    #[test]
    fn the_second_derivative_is_that_of_the_formula() {
        let penalty = |compute: fn(&[Tensor; 3], i64, bool) -> Tensor, leaves: &[Tensor; 3]| {
            let leaves = leaves.each_ref().map(|t| t.detach().set_requires_grad(true));
            let y = compute(&leaves, 4, true).square().sum(None);
            let g = Tensor::run_backward(&[y], &[&leaves[0]], true, true);
            g[0].square().sum(None).backward();
            leaves[1].grad()
        };
        let leaves = arguments([2, 16, 4, 4], 1.0);
        let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
        let error = relative_error(&penalty(fused, &leaves), &penalty(composed, &exact));
        assert!(error < 1e-4, "{error}");
    }
}
