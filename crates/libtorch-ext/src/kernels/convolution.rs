//! Convolutions and what surrounds them.

use crate::Result;
use crate::ffi::{self, check, pointer_or_null};
use std::ptr::null_mut;
use tch::Tensor;

/// A square convolution, stride 1, that keeps the resolution, with what a residual block adds and multiplies.
///
/// ```text
/// y = (x ∗ weight + bias + shift + residual) · scale
/// ```
///
/// With 3 × 3 weights whose channels are multiples of 16 the CPU computes Winograd's F(4×4, 3×3): 36 multiplications for
/// 16 results instead of 144.
///
/// # Shapes
/// `x`: `[N, C, H, W]`; `weight`: `[K, C, 3, 3]`; `bias`: `[K]`; `shift`: `[N, K]`; `residual`: `[N, K, H, W]`. Returns
/// `[N, K, H, W]`, channels last where Winograd's form is computed.
///
/// # Gradient
/// Into `x`, `weight`, `bias`, `shift` and `residual`. What needs none costs nothing.
///
/// # Source
/// Lavin & Gray 2016, arXiv:1509.09308.
///
/// # Example
/// ```
/// use libtorch_ext::kernels::Convolution;
/// use tch::{Device, Kind, Tensor};
/// let x = Tensor::ones([1, 16, 8, 8], (Kind::Float, Device::Cpu));
/// let weight = Tensor::ones([16, 16, 3, 3], (Kind::Float, Device::Cpu));
/// let y = Convolution::new(&weight).residual(&x).scale(0.5).forward(&x)?;
/// assert!((y.double_value(&[0, 3, 4, 4]) - 0.5 * (9.0 * 16.0 + 1.0)).abs() < 1e-3);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a> {
    weight: &'a Tensor,
    prepared: Option<&'a PreparedWeight>,
    bias: Option<&'a Tensor>,
    shift: Option<&'a Tensor>,
    residual: Option<&'a Tensor>,
    scale: f64,
}

impl<'a> Convolution<'a> {
    /// The plain convolution.
    pub fn new(weight: &'a Tensor) -> Self {
        Self { weight, prepared: None, bias: None, shift: None, residual: None, scale: 1.0 }
    }

    /// Uses what [`PreparedWeight::new`] made of the same weight, if anything.
    #[must_use]
    pub fn prepared(self, prepared: Option<&'a PreparedWeight>) -> Self {
        Self { prepared, ..self }
    }

    /// Adds a constant to each channel.
    #[must_use]
    pub fn bias(self, bias: &'a Tensor) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// Adds a constant to each channel of each image.
    #[must_use]
    pub fn shift(self, shift: &'a Tensor) -> Self {
        Self { shift: Some(shift), ..self }
    }

    /// Adds images.
    #[must_use]
    pub fn residual(self, residual: &'a Tensor) -> Self {
        Self { residual: Some(residual), ..self }
    }

    /// Multiplies the sum.
    #[must_use]
    pub fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// Computes it.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if shapes, kinds or devices do not fit each other.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        let mut result = null_mut();
        let prepared = self.prepared.map(|prepared| &prepared.0);
        // SAFETY: pointers to tensors that are borrowed for the call, or null where the shim allows it, and a place for
        // one new tensor.
        let message = unsafe {
            ffi::fewstep_convolve(
                x.as_ptr(),
                self.weight.as_ptr(),
                pointer_or_null(prepared),
                pointer_or_null(self.bias),
                pointer_or_null(self.shift),
                pointer_or_null(self.residual),
                self.scale,
                &raw mut result,
            )
        };
        check("kernels::Convolution", message)?;
        // SAFETY: on success the shim has made a new tensor and hands it over.
        Ok(unsafe { Tensor::from_ptr(result) })
    }
}

/// A weight in the form that the CPU's convolution multiplies with, for weights that stay as they are for a while.
///
/// Four times the size of the weight; a copy, so it does not follow changes.
#[derive(Debug)]
pub struct PreparedWeight(Tensor);

impl PreparedWeight {
    /// The form of `weight`, or `None` where convolutions take it as it is.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if memory runs out.
    pub fn new(weight: &Tensor) -> Result<Option<Self>> {
        let mut prepared = null_mut();
        // SAFETY: a tensor that is borrowed for the call, and a place for one new tensor.
        let message = unsafe { ffi::fewstep_prepare_weight(weight.as_ptr(), &raw mut prepared) };
        check("kernels::PreparedWeight", message)?;
        // SAFETY: on success the place is null or holds a new tensor that the shim hands over.
        Ok((!prepared.is_null()).then(|| Self(unsafe { Tensor::from_ptr(prepared) })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::group_norm::tests::{gradients, relative_error, wave};
    use tch::Kind;

    /// What the kernel replaces, in the kind of its arguments.
    fn composed([x, weight, bias, shift, residual]: &[Tensor; 5], scale: f64) -> Tensor {
        let y = x.conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1);
        (y + shift.unsqueeze(-1).unsqueeze(-1) + residual) * scale
    }

    fn fused([x, weight, bias, shift, residual]: &[Tensor; 5], scale: f64) -> Tensor {
        let convolution = Convolution::new(weight).bias(bias).shift(shift).residual(residual);
        convolution.scale(scale).forward(x).unwrap()
    }

    fn arguments([n, c, k, h, w]: [i64; 5]) -> [Tensor; 5] {
        let shapes: [&[i64]; 5] = [&[n, c, h, w], &[k, c, 3, 3], &[k], &[n, k], &[n, k, h, w]];
        let mut phase = 0.0;
        shapes.map(|shape| {
            phase += 1.0;
            wave(shape, phase)
        })
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formula() {
        for sizes in
            [[3, 16, 32, 8, 8], [2, 48, 16, 13, 11], [12, 16, 16, 3, 5], [1, 32, 64, 32, 32]]
        {
            let leaves = arguments(sizes);
            let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
            let (y, expected) = (fused(&leaves, 0.7), composed(&exact, 0.7));
            assert!(relative_error(&y, &expected) < 2e-6, "{sizes:?}");
            let found = gradients(&leaves, |leaves| fused(leaves, 0.7));
            let expected = gradients(&exact, |leaves| composed(leaves, 0.7));
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let error = relative_error(found, expected);
                assert!(error < 5e-6, "{sizes:?}, argument {i}: {error}");
            }
        }
    }

    #[test]
    fn a_prepared_weight_changes_nothing() {
        let [x, weight, ..] = arguments([4, 32, 16, 16, 16]);
        let prepared = PreparedWeight::new(&weight).unwrap();
        assert!(prepared.is_some());
        let convolution = Convolution::new(&weight);
        let plain = convolution.forward(&x).unwrap();
        assert_eq!(convolution.prepared(prepared.as_ref()).forward(&x).unwrap(), plain);
        assert!(PreparedWeight::new(&wave(&[3, 32, 3, 3], 0.0)).unwrap().is_none());
    }

    #[test]
    fn what_the_kernel_does_not_take_is_composed() {
        for sizes in [[2, 3, 16, 8, 8], [2, 16, 3, 8, 8], [1, 16, 16, 4, 4]] {
            let leaves = arguments(sizes);
            assert!(relative_error(&fused(&leaves, 0.7), &composed(&leaves, 0.7)) < 1e-6);
        }
        let double = arguments([2, 16, 16, 8, 8]).map(|t| t.to_kind(Kind::Double));
        assert_eq!(fused(&double, 0.7), composed(&double, 0.7));
    }

    #[test]
    fn the_second_derivative_is_that_of_the_formula() {
        let leaves = arguments([2, 16, 16, 8, 8]);
        let penalty = |compute: fn(&[Tensor; 5], f64) -> Tensor, leaves: &[Tensor; 5]| {
            let leaves = leaves.each_ref().map(|t| t.detach().set_requires_grad(true));
            let y = compute(&leaves, 0.7).square().sum(None);
            let g = Tensor::run_backward(&[y], &[&leaves[0]], true, true);
            g[0].square().sum(None).backward();
            leaves[1].grad()
        };
        let exact = leaves.each_ref().map(|t| t.to_kind(Kind::Double));
        let error = relative_error(&penalty(fused, &leaves), &penalty(composed, &exact));
        assert!(error < 5e-6, "{error}");
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        let [x, ..] = arguments([2, 16, 16, 8, 8]);
        assert!(Convolution::new(&wave(&[16, 32, 3, 3], 0.0)).forward(&x).is_err());
    }
}
