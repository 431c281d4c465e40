//! Memory of a device, as libtorch's allocator sees it.

use super::index;
use crate::Result;
use crate::ffi::{self, Message};
use std::ffi::c_int;
use tch::Device;

unsafe extern "C" {
    fn fewstep_cuda_memory(device: c_int, stats: *mut MemoryStats) -> Message;
    fn fewstep_cuda_reset_peak(device: c_int) -> Message;
    fn fewstep_cuda_empty_cache() -> Message;
}

/// Memory of a CUDA device, in bytes.
///
/// libtorch's allocator *reserves* large blocks from the driver and *allocates* tensors in them; freed tensors leave their
/// memory reserved for the next ones.
///
/// # Example
/// ```
/// use libtorch_ext::cuda::{self, MemoryStats};
/// use tch::Device;
/// match MemoryStats::of(Device::Cuda(0)) {
///     Ok(stats) => assert!(stats.allocated <= stats.reserved && stats.reserved <= stats.total),
///     Err(error) => assert!(!cuda::is_available(), "{error}"),
/// }
/// ```
#[repr(C)] // mirrors `MemoryStats` of `cpp/cuda_memory.cpp`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In tensors now.
    pub allocated: i64,
    /// In tensors at most, since the start or since [`reset_peak`].
    pub allocated_peak: i64,
    /// Taken from the driver now.
    pub reserved: i64,
    /// Taken from the driver at most, since the start or since [`reset_peak`].
    pub reserved_peak: i64,
    /// What the driver could still give, to any process.
    pub free: i64,
    /// What the device has.
    pub total: i64,
}

impl MemoryStats {
    /// The memory of `device`. Does not wait for the device.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if this process cannot use the device.
    pub fn of(device: Device) -> Result<Self> {
        const NAME: &str = "cuda::MemoryStats::of";
        let index = index(NAME, device)?;
        let mut stats = Self::default();
        // SAFETY: a place for the struct that the shim fills.
        ffi::check(NAME, unsafe { fewstep_cuda_memory(index, &raw mut stats) })?;
        Ok(stats)
    }
}

/// Lets the peaks of [`MemoryStats`] begin anew, at what is in use now.
///
/// # Errors
/// [`crate::Error::NoDevice`] if this process cannot use the device.
pub fn reset_peak(device: Device) -> Result<()> {
    const NAME: &str = "cuda::reset_peak";
    let index = index(NAME, device)?;
    // SAFETY: a number of a device that there is.
    ffi::check(NAME, unsafe { fewstep_cuda_reset_peak(index) })
}

/// Gives reserved memory without tensors back to the driver, of all devices, so that other processes can use it. This
/// waits for the devices and makes the next allocations slow. Does nothing where there is no CUDA.
///
/// # Errors
/// [`crate::Error::Torch`] if the driver reports an error of an earlier operation.
pub fn empty_cache() -> Result<()> {
    if !super::is_available() {
        return Ok(());
    }
    // SAFETY: no arguments; CUDA is there.
    ffi::check("cuda::empty_cache", unsafe { fewstep_cuda_empty_cache() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::cuda::test_device;
    use tch::{Kind, Tensor};

    #[test]
    fn without_a_device_it_says_so() {
        let absent = Device::Cuda(999);
        for error in [MemoryStats::of(absent).map(|_| ()), reset_peak(absent)] {
            assert!(matches!(error, Err(Error::NoDevice { .. })), "{error:?}");
        }
        assert!(empty_cache().is_ok());
    }

    #[test]
    fn tensors_are_counted() {
        let Some(device) = test_device() else { return };
        let block = Tensor::zeros([256 << 20], (Kind::Uint8, device));
        let full = MemoryStats::of(device).unwrap();
        assert!(full.allocated >= 256 << 20 && full.allocated_peak >= full.allocated);
        drop(block);
        reset_peak(device).unwrap();
        empty_cache().unwrap();
        let empty = MemoryStats::of(device).unwrap();
        assert!(empty.allocated_peak < full.allocated_peak && empty.reserved < full.reserved);
    }
}
