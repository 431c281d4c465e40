//! Computing in `bf16` for as long as a guard lives.

use crate::ffi::{self, AutocastState};
use std::marker::PhantomData;
use tch::Device;

/// A scope in which matrix products and convolutions compute in `bf16`.
///
/// While the guard lives, this thread's operations that are safe in `bf16` cast their inputs to it, and those that are
/// not (losses, norms) stay in `f32`: weights and optimizer state remain `f32`. Unlike `tch::autocast` it works on the
/// CPU too, chooses the type, and ends with its scope even if that scope panics. Guards nest; drop them in the reverse
/// order of their creation, as scopes do.
///
/// Casted copies of the weights are kept for the outermost guard's lifetime, so update weights outside of it. Build the
/// loss inside, call `backward` outside.
///
/// # Gradient
/// Flows through the casts; gradients of `f32` weights are `f32`.
///
/// # Example
/// ```
/// use libtorch_ext::Autocast;
/// use tch::{Device, Kind, Tensor};
/// let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
/// {
///     let _bf16 = Autocast::bf16(Device::Cpu);
///     assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
/// }
/// assert_eq!(a.matmul(&a).kind(), Kind::Float);
/// ```
#[derive(Debug)]
#[must_use = "autocast ends when the guard is dropped"]
pub struct Autocast {
    previous: AutocastState,
    /// Autocast is a property of the thread, so the guard must end on the thread it began on.
    not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// Starts computing in `bf16` on `device`, on this thread.
    ///
    /// # Panics
    /// If `device` is neither the CPU nor a CUDA device.
    pub fn bf16(device: Device) -> Self {
        let cuda = match device {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            other => {
                panic!("autocast to bf16 works on the CPU and on CUDA devices, not on {other:?}")
            }
        };
        let mut previous = AutocastState::default();
        // SAFETY: `previous` is a valid place of the struct that the shim fills.
        let message = unsafe { ffi::fewstep_autocast_enter_bf16(cuda, &raw mut previous) };
        ffi::check("Autocast::bf16", message)
            .expect("libtorch supports autocast on the CPU and on CUDA");
        Self { previous, not_send: PhantomData }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: `previous` was filled by the shim when this guard began.
        let message = unsafe { ffi::fewstep_autocast_exit(&raw const self.previous) };
        ffi::check("Autocast", message)
            .expect("what libtorch accepted on entry it accepts on exit");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    fn product_kind() -> Kind {
        let a = Tensor::ones([3, 3], (Kind::Float, Device::Cpu));
        a.matmul(&a).kind()
    }

    #[test]
    fn the_scope_is_bf16_and_nothing_else_is() {
        assert_eq!(product_kind(), Kind::Float);
        {
            let _outer = Autocast::bf16(Device::Cpu);
            {
                let _inner = Autocast::bf16(Device::Cpu);
                assert_eq!(product_kind(), Kind::BFloat16);
            }
            assert_eq!(product_kind(), Kind::BFloat16);
        }
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn a_panic_ends_the_scope() {
        let caught = std::panic::catch_unwind(|| {
            let _bf16 = Autocast::bf16(Device::Cpu);
            assert_eq!(product_kind(), Kind::BFloat16);
            panic!("inside the scope");
        });
        assert!(caught.is_err());
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn other_threads_do_not_notice() {
        let _bf16 = Autocast::bf16(Device::Cpu);
        assert_eq!(std::thread::spawn(product_kind).join().unwrap(), Kind::Float);
    }

    #[test]
    fn weights_updated_after_the_scope_are_seen_by_the_next() {
        let mut weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        let product = |weight: &Tensor| {
            let _bf16 = Autocast::bf16(Device::Cpu);
            x.matmul(weight).sum(Kind::Float).double_value(&[])
        };
        assert_eq!(product(&weight), 8.0);
        tch::no_grad(|| {
            let _ = weight.fill_(2.0);
        });
        assert_eq!(product(&weight), 16.0);
    }

    /// Copies that are made without a graph are not kept for operations that need one.
    #[test]
    fn a_pass_without_a_graph_leaves_the_next_one_its_gradient() {
        let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        let _bf16 = Autocast::bf16(Device::Cpu);
        assert!(!tch::no_grad(|| x.matmul(&weight)).requires_grad());
        x.matmul(&weight).sum(Kind::Float).backward();
        assert_eq!(weight.grad().double_value(&[0, 0]), 2.0);
    }
}
