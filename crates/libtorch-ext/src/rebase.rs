//! Tensors that move into memory of another one.

use crate::Result;
use crate::ffi::{self, Message};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn fewstep_rebase(tensor: *const C_tensor, view: *const C_tensor) -> Message;
}

/// Lets `tensor`, and with it every handle of it, lie where `view` lies. Its own values are given up; a gradient stays.
///
/// The two count changes together: [`Tensor::internal_version`] of `tensor` rises with every write to the memory that
/// `view` is a view of, so that a cache of something that was computed of it can tell that it is out of date.
///
/// # Errors
/// [`crate::Error::Torch`] if shapes, kinds or devices differ.
///
/// # Example
/// ```
/// use libtorch_ext::rebase;
/// use tch::{Device, Kind, Tensor};
/// let buffer = Tensor::zeros([6], (Kind::Float, Device::Cpu));
/// let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
/// rebase(&weight, &buffer.narrow(0, 1, 4).view([2, 2]))?;
/// let before = weight.internal_version();
/// let _ = buffer.narrow(0, 0, 3).fill_(7.0);
/// assert_eq!(Vec::<f32>::try_from(weight.reshape([4])).unwrap(), [7.0, 7.0, 0.0, 0.0]);
/// assert!(weight.internal_version() > before);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
pub fn rebase(tensor: &Tensor, view: &Tensor) -> Result<()> {
    // SAFETY: two borrowed tensors; the shim keeps none.
    ffi::check("rebase", unsafe { fewstep_rebase(tensor.as_ptr(), view.as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn writes_without_a_graph_count_in_both() {
        let _guard = tch::no_grad_guard();
        let buffer = Tensor::zeros([8], (Kind::Float, Device::Cpu));
        let weight = Tensor::ones([4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        rebase(&weight, &buffer.narrow(0, 0, 4).as_strided([4], [1], None::<i64>)).unwrap();
        for write in [
            |buffer: &Tensor| drop(buffer.narrow(0, 2, 6).g_add_scalar_(1.0)),
            |buffer: &Tensor| buffer.shallow_clone().copy_(&buffer.ones_like()),
            |buffer: &Tensor| {
                crate::fused::lerp_(&[buffer.narrow(0, 0, 8)], &[buffer.zeros_like()], &[0.5])
                    .unwrap();
            },
        ] {
            let before = weight.internal_version();
            write(&buffer);
            assert!(weight.internal_version() > before);
        }
        assert_eq!(weight.sum(Kind::Float).double_value(&[]), 2.0);
        assert!(weight.requires_grad());
    }

    #[test]
    fn other_kinds_and_shapes_are_refused() {
        let weight = Tensor::ones([2], (Kind::Float, Device::Cpu));
        assert!(rebase(&weight, &weight.to_kind(Kind::Int64)).is_err());
        assert!(rebase(&weight, &Tensor::ones([3], (Kind::Float, Device::Cpu))).is_err());
        assert_eq!((weight.kind(), weight.size()), (Kind::Float, vec![2]));
    }
}
