//! libtorch's random numbers, from a generator of one's own.

use crate::Result;
use crate::ffi::{self, Message};
use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// `at::Generator`.
#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn fewstep_generator_new(device: c_int, seed: u64, generator: *mut *mut Handle) -> Message;
    fn fewstep_generator_free(generator: *mut Handle);
    fn fewstep_generator_state(generator: *mut Handle, state: *mut *mut C_tensor) -> Message;
    fn fewstep_generator_set_state(generator: *mut Handle, state: *const C_tensor) -> Message;
    fn fewstep_generator_normal(
        generator: *mut Handle,
        target: *const C_tensor,
        mean: f64,
        std: f64,
    ) -> Message;
    fn fewstep_generator_uniform(
        generator: *mut Handle,
        target: *const C_tensor,
        low: f64,
        high: f64,
    ) -> Message;
    fn fewstep_generator_randperm(
        generator: *mut Handle,
        n: i64,
        order: *mut *mut C_tensor,
    ) -> Message;
}

/// A random number generator of libtorch with its own seed and a state that can be saved.
///
/// `Tensor::randn` and its kin draw from one generator per device that the whole process shares, so what they return
/// depends on everything that ran before. A generator of one's own repeats its numbers. They are libtorch's, made where
/// the tensor is: the same seed gives other numbers on another kind of device. Within fewstep, randomness comes from
/// `diffusion_core::Noise`, whose numbers are the same everywhere; this is for speed on a GPU and for comparisons with
/// PyTorch, whose `torch.Generator` it is.
///
/// # Example
/// ```
/// use libtorch_ext::Generator;
/// use tch::{Device, Kind, Tensor};
/// let mut generator = Generator::new(Device::Cpu, 42)?;
/// let [a, b] = [(); 2].map(|()| Tensor::empty([3], (Kind::Float, Device::Cpu)));
/// let state = generator.state()?;
/// generator.normal_(&a, 0.0, 1.0)?;
/// generator.set_state(&state)?;
/// generator.normal_(&b, 0.0, 1.0)?;
/// assert_eq!(a, b);
/// # Ok::<(), libtorch_ext::Error>(())
/// ```
#[derive(Debug)]
pub struct Generator {
    handle: NonNull<Handle>,
    device: Device,
}

// SAFETY: the handle is the only reference to its generator, and every use of it needs `&mut` or locks its mutex.
unsafe impl Send for Generator {}

impl Generator {
    /// A generator for tensors on `device`.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if this process cannot use the device.
    pub fn new(device: Device, seed: u64) -> Result<Self> {
        const NAME: &str = "Generator::new";
        let index = ffi::device_index(NAME, device)?;
        let mut handle = null_mut();
        // SAFETY: a place for one pointer.
        ffi::check(NAME, unsafe { fewstep_generator_new(index, seed, &raw mut handle) })?;
        let handle = NonNull::new(handle).expect("the shim stores a generator or reports an error");
        Ok(Self { handle, device })
    }

    /// The device whose tensors this generator fills.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Everything that decides the numbers to come, as bytes: `[n]` of kind `Uint8`, on the CPU.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if libtorch cannot tell, for instance while a CUDA graph is captured.
    pub fn state(&self) -> Result<Tensor> {
        let generator = self.handle.as_ptr();
        // SAFETY: a live generator, which the shim locks, and a place for one tensor.
        ffi::new_tensor("Generator::state", |state| unsafe {
            fewstep_generator_state(generator, state)
        })
    }

    /// Goes back, or forth, to a state of a generator of the same kind of device.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if `state` is of another size or kind.
    pub fn set_state(&mut self, state: &Tensor) -> Result<()> {
        // SAFETY: a live generator and a borrowed tensor.
        let message = unsafe { fewstep_generator_set_state(self.handle.as_ptr(), state.as_ptr()) };
        ffi::check("Generator::set_state", message)
    }

    /// Fills `target` with independent normal numbers.
    ///
    /// # Gradient
    /// None is recorded.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if `target` is on another device or of integers, or `std` is negative.
    pub fn normal_(&mut self, target: &Tensor, mean: f64, std: f64) -> Result<()> {
        // SAFETY: a live generator and a borrowed tensor.
        let message =
            unsafe { fewstep_generator_normal(self.handle.as_ptr(), target.as_ptr(), mean, std) };
        ffi::check("Generator::normal_", message)
    }

    /// Fills `target` with independent numbers, uniform in `[low, high)`.
    ///
    /// # Gradient
    /// None is recorded.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if `target` is on another device or of integers, or the interval is none.
    pub fn uniform_(&mut self, target: &Tensor, low: f64, high: f64) -> Result<()> {
        // SAFETY: a live generator and a borrowed tensor.
        let message =
            unsafe { fewstep_generator_uniform(self.handle.as_ptr(), target.as_ptr(), low, high) };
        ffi::check("Generator::uniform_", message)
    }

    /// The numbers from 0 to `n − 1` in random order, `[n]` of kind `Int64`, on the generator's device.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if `n` is negative.
    pub fn randperm(&mut self, n: i64) -> Result<Tensor> {
        let generator = self.handle.as_ptr();
        // SAFETY: a live generator and a place for one tensor.
        ffi::new_tensor("Generator::randperm", |order| unsafe {
            fewstep_generator_randperm(generator, n, order)
        })
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: the generator is live, and nothing uses it afterwards.
        unsafe { fewstep_generator_free(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use tch::Kind;

    fn cpu(seed: u64) -> Generator {
        Generator::new(Device::Cpu, seed).unwrap()
    }

    fn place(n: i64) -> Tensor {
        Tensor::empty([n], (Kind::Float, Device::Cpu))
    }

    fn normal(generator: &mut Generator, n: i64) -> Tensor {
        let target = place(n);
        generator.normal_(&target, 0.0, 1.0).unwrap();
        target
    }

    /// The first numbers of `torch.Generator().manual_seed(42)`, as PyTorch prints them.
    #[test]
    fn the_numbers_are_those_of_pytorch() {
        let target = place(3);
        cpu(42).uniform_(&target, 0.0, 1.0).unwrap();
        let expected = Tensor::from_slice(&[0.8822693f32, 0.9150040, 0.3828638]);
        assert!((target - expected).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn seeds_decide_and_generators_are_independent() {
        let (mut a, mut b, mut other) = (cpu(1), cpu(1), cpu(2));
        let first = normal(&mut a, 100);
        let _ = normal(&mut other, 7);
        assert_eq!(normal(&mut b, 100), first);
        assert_ne!(normal(&mut a, 100), first);
        assert_ne!(normal(&mut other, 100), first);
    }

    #[test]
    fn a_saved_state_repeats_every_bit() {
        let mut generator = cpu(3);
        let _ = normal(&mut generator, 5); // an odd number leaves a spare normal in the state
        let state = generator.state().unwrap();
        let expected = (normal(&mut generator, 33), generator.randperm(50).unwrap());
        let mut restored = cpu(4);
        restored.set_state(&state).unwrap();
        assert_eq!((normal(&mut restored, 33), restored.randperm(50).unwrap()), expected);
        assert!(restored.set_state(&place(3)).is_err());
    }

    #[test]
    fn distributions_are_as_asked() {
        let mut generator = cpu(5);
        let target = place(100_000).set_requires_grad(true);
        generator.normal_(&target, 3.0, 2.0).unwrap();
        assert!((target.mean(Kind::Double).double_value(&[]) - 3.0).abs() < 0.03);
        assert!((target.std(true).double_value(&[]) - 2.0).abs() < 0.03);
        generator.uniform_(&target, -1.0, 3.0).unwrap();
        assert!((target.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.03);
        assert!(target.min().double_value(&[]) >= -1.0 && target.max().double_value(&[]) < 3.0);
        let (sorted, _) = generator.randperm(100).unwrap().sort(0, false);
        assert_eq!(sorted, Tensor::arange(100, (Kind::Int64, Device::Cpu)));
    }

    #[test]
    fn misuse_is_an_error() {
        let integers = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
        assert!(cpu(0).uniform_(&integers, 0.0, 1.0).is_err());
        assert!(cpu(0).normal_(&place(2), 0.0, -1.0).is_err());
        assert!(cpu(0).randperm(-1).is_err());
        let absent = Generator::new(Device::Cuda(999), 0).unwrap_err();
        assert!(matches!(absent, Error::NoDevice { device: Device::Cuda(999), .. }), "{absent}");
    }

    #[test]
    fn a_gpu_repeats_too() {
        let Some(device) = crate::cuda::test_device() else { return };
        let mut generator = Generator::new(device, 7).unwrap();
        let state = generator.state().unwrap();
        let [a, b] = [(); 2].map(|()| Tensor::empty([1000], (Kind::Float, device)));
        generator.normal_(&a, 0.0, 1.0).unwrap();
        generator.set_state(&state).unwrap();
        generator.normal_(&b, 0.0, 1.0).unwrap();
        assert_eq!(a, b);
    }
}
