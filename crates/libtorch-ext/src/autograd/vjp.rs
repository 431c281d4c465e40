//! Gradients with explicit cotangents.

use crate::ffi::{self, Message, pointers};
use crate::{Error, Result};
use std::ptr::null_mut;
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn fewstep_vjp(
        outputs: *const *const C_tensor,
        cotangents: *const *const C_tensor,
        count: usize,
        inputs: *const *const C_tensor,
        input_count: usize,
        keep_graph: bool,
        create_graph: bool,
        gradients: *mut *mut C_tensor,
    ) -> Message;
}

/// What becomes of the graph when gradients are computed; by default it is freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GradOptions {
    /// Whether the graph can be used again.
    pub keep_graph: bool,
    /// Whether the gradients can be differentiated again; keeps the graph, too.
    pub create_graph: bool,
}

/// The product of cotangents with the Jacobian: `Σ_k cotangents[k] · ∂outputs[k]/∂inputs[i]`.
///
/// Unlike `Tensor::backward` it adds nothing to any `grad`, and takes cotangents of one's own. An input that no output
/// depends on has `None`. Autocast is off meanwhile, as it should be in a backward pass: the types are those of the forward
/// pass.
///
/// # Shapes
/// `cotangents[k]` as `outputs[k]`; the answer for input `i` as `inputs[i]`.
///
/// # Gradient
/// The result has a graph if `create_graph` is set, otherwise not.
///
/// # Errors
/// [`Error::LengthMismatch`] if there is not one cotangent per output, [`Error::Torch`] if an input requires no gradient,
/// no output has a graph, the graph is gone, or a shape is wrong.
///
/// # Example
/// ```
/// use libtorch_ext::autograd::{GradOptions, vjp};
/// use tch::Tensor;
/// let x = Tensor::from_slice(&[1f32, 2.0]).set_requires_grad(true);
/// let cotangent = Tensor::from_slice(&[10f32, 100.0]);
/// let gradients = vjp(&[x.square()], &[x], &[cotangent], GradOptions::default())?;
/// assert_eq!(gradients[0].as_ref().unwrap(), &Tensor::from_slice(&[20f32, 400.0]));
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn vjp(
    outputs: &[Tensor],
    inputs: &[Tensor],
    cotangents: &[Tensor],
    options: GradOptions,
) -> Result<Vec<Option<Tensor>>> {
    const NAME: &str = "autograd::vjp";
    let (expected, found) = (outputs.len(), cotangents.len());
    if expected != found {
        let list = "cotangents";
        return Err(Error::LengthMismatch { operation: NAME, list, expected, found });
    }
    if outputs.is_empty() || inputs.is_empty() {
        return Ok(inputs.iter().map(|_| None).collect());
    }
    let GradOptions { keep_graph, create_graph } = options;
    let mut gradients = vec![null_mut(); inputs.len()];
    let (outputs, cotangents, inputs) = (pointers(outputs), pointers(cotangents), pointers(inputs));
    // SAFETY: lists of pointers to tensors that are borrowed for the call, two of length `expected` and one of the length
    // of `gradients`, which has a place for each.
    let message = unsafe {
        fewstep_vjp(
            outputs.as_ptr(),
            cotangents.as_ptr(),
            expected,
            inputs.as_ptr(),
            inputs.len(),
            keep_graph || create_graph,
            create_graph,
            gradients.as_mut_ptr(),
        )
    };
    ffi::check(NAME, message)?;
    // SAFETY: on success every place is null or holds a new tensor, which nobody else owns.
    let owned = |pointer: *mut C_tensor| unsafe { Tensor::from_ptr(pointer) };
    Ok(gradients.into_iter().map(|p| (!p.is_null()).then(|| owned(p))).collect())
}

/// The gradient of a scalar with respect to every input; `None` for inputs that it does not depend on.
///
/// # Shapes
/// `output`: one element; the answer for input `i` as `inputs[i]`.
///
/// # Gradient
/// As for [`vjp`].
///
/// # Errors
/// As for [`vjp`].
///
/// # Example
/// ```
/// use libtorch_ext::autograd::{GradOptions, grad};
/// use tch::{Kind, Tensor};
/// // The second derivative of x³ at 2 is 12.
/// let x = Tensor::from(2f32).set_requires_grad(true);
/// let create_graph = GradOptions { create_graph: true, ..GradOptions::default() };
/// let first = grad(&(&x * &x * &x), &[x.shallow_clone()], create_graph)?.remove(0).unwrap();
/// let second = grad(&first, &[x], GradOptions::default())?.remove(0).unwrap();
/// assert_eq!(second.double_value(&[]), 12.0);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn grad(
    output: &Tensor,
    inputs: &[Tensor],
    options: GradOptions,
) -> Result<Vec<Option<Tensor>>> {
    if output.numel() != 1 {
        let message =
            format!("a gradient needs a scalar, not sizes {:?}; use `vjp`", output.size());
        return Err(Error::Torch { operation: "autograd::grad", message });
    }
    vjp(&[output.shallow_clone()], inputs, &[output.ones_like()], options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn leaf(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn several_outputs_add_up_and_unused_inputs_have_none() {
        let [x, y, unused] = [leaf(&[1.0, 2.0]), leaf(&[3.0, 4.0]), leaf(&[5.0])];
        let outputs = [&x * &y, x.sin()];
        let cotangents = [Tensor::from_slice(&[1.0, 10.0]), Tensor::from_slice(&[2.0, 20.0])];
        let inputs = [x.shallow_clone(), unused, y.shallow_clone()];
        let found = vjp(&outputs, &inputs, &cotangents, GradOptions::default()).unwrap();
        let expected = &cotangents[0] * &y + &cotangents[1] * x.cos();
        assert_eq!(found[0].as_ref().unwrap(), &expected);
        assert!(found[1].is_none());
        assert_eq!(found[2].as_ref().unwrap(), &(&cotangents[0] * &x));
        assert!(!x.grad().defined(), "nothing is accumulated");
    }

    #[test]
    fn the_graph_is_freed_unless_it_is_kept() {
        let x = leaf(&[1.0, 2.0]);
        let y = x.exp().sum(Kind::Double);
        let inputs = [x];
        let keep = GradOptions { keep_graph: true, ..GradOptions::default() };
        let first = grad(&y, &inputs, keep).unwrap();
        let again = grad(&y, &inputs, GradOptions::default()).unwrap();
        assert_eq!(first, again);
        assert!(!first[0].as_ref().unwrap().requires_grad());
        assert!(grad(&y, &inputs, GradOptions::default()).is_err());
    }

    #[test]
    fn misuse_is_an_error() {
        let x = leaf(&[1.0, 2.0]);
        let y = [x.square()];
        let inputs = [x.shallow_clone()];
        let error = vjp(&y, &inputs, &[], GradOptions::default()).unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { expected: 1, found: 0, .. }), "{error}");
        let error = grad(&y[0], &inputs, GradOptions::default()).unwrap_err();
        assert!(error.to_string().contains("use `vjp`"), "{error}");
        let wrong = [Tensor::from_slice(&[1.0, 2.0, 3.0])];
        assert!(vjp(&y, &inputs, &wrong, GradOptions::default()).is_err());
        let plain = Tensor::from_slice(&[1.0, 2.0]);
        assert!(vjp(&y, &[plain.copy()], &[plain], GradOptions::default()).is_err());
    }
}
