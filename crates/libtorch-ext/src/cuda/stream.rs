//! Queues of work on a device.

use super::{Event, index};
use crate::Result;
use crate::ffi::{self, Message};
use std::ffi::c_int;
use std::marker::PhantomData;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// Mirrors `StreamScope` of `cpp/cuda_stream.cpp`.
#[repr(C)]
#[derive(Debug, Default)]
struct Previous {
    device: c_int,
    previous_device: c_int,
    previous_stream: i64,
}

unsafe extern "C" {
    fn fewstep_stream_new(device: c_int, high_priority: bool, id: *mut i64) -> Message;
    fn fewstep_stream_default(device: c_int, id: *mut i64) -> Message;
    fn fewstep_stream_current(device: c_int, id: *mut i64) -> Message;
    fn fewstep_stream_query(device: c_int, id: i64, idle: *mut bool) -> Message;
    fn fewstep_stream_synchronize(device: c_int, id: i64) -> Message;
    fn fewstep_stream_record(device: c_int, id: i64, tensor: *const C_tensor) -> Message;
    fn fewstep_stream_enter(device: c_int, id: i64, previous: *mut Previous) -> Message;
    fn fewstep_stream_exit(previous: *const Previous) -> Message;
}

/// Which of two waiting streams goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamPriority {
    /// As the default stream.
    #[default]
    Normal,
    /// Before those of normal priority.
    High,
}

/// A queue of work on a CUDA device: what is queued on one stream runs in order, different streams run side by side.
///
/// Operations go to the current stream of their device; [`Stream::scope`] makes another one current. What one stream
/// needs from another it must wait for ([`Stream::wait_for`]), and a tensor that is used on another stream than it was
/// made on must be [recorded](Stream::record) there before it is dropped.
///
/// # Example
/// ```
/// use libtorch_ext::cuda::{self, Stream, StreamPriority};
/// use tch::{Device, Kind, Tensor};
/// # fn main() -> Result<(), libtorch_ext::Error> {
/// # if !cuda::is_available() { return Ok(()); }
/// let device = Device::Cuda(0);
/// let side = Stream::new(device, StreamPriority::Normal)?;
/// let y = {
///     let _scope = side.scope()?;
///     Tensor::ones([3], (Kind::Float, device)) * 2.0
/// };
/// Stream::current(device)?.wait_for(&side)?;
/// assert_eq!(y.double_value(&[0]), 2.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    device: c_int,
    id: i64,
}

impl Stream {
    /// A stream of libtorch's pool, which holds 32 of each priority and hands them out in turn.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if this process cannot use the device.
    pub fn new(device: Device, priority: StreamPriority) -> Result<Self> {
        let high = priority == StreamPriority::High;
        // SAFETY: a device that there is and a place for the answer.
        Self::find("cuda::Stream::new", device, |device, id| unsafe {
            fewstep_stream_new(device, high, id)
        })
    }

    /// The stream that is current where no scope is.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if this process cannot use the device.
    pub fn default_of(device: Device) -> Result<Self> {
        // SAFETY: a device that there is and a place for the answer.
        Self::find("cuda::Stream::default_of", device, |device, id| unsafe {
            fewstep_stream_default(device, id)
        })
    }

    /// The stream to which this thread's operations on `device` go.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if this process cannot use the device.
    pub fn current(device: Device) -> Result<Self> {
        // SAFETY: a device that there is and a place for the answer.
        Self::find("cuda::Stream::current", device, |device, id| unsafe {
            fewstep_stream_current(device, id)
        })
    }

    fn find(
        operation: &'static str,
        device: Device,
        call: impl FnOnce(c_int, *mut i64) -> Message,
    ) -> Result<Self> {
        let device = index(operation, device)?;
        let mut id = 0;
        ffi::check(operation, call(device, &raw mut id))?;
        Ok(Self { device, id })
    }

    /// The device of the stream.
    pub fn device(self) -> Device {
        Device::Cuda(usize::try_from(self.device).expect("streams are of CUDA devices"))
    }

    pub(super) fn raw(self) -> (c_int, i64) {
        (self.device, self.id)
    }

    /// Whether everything that is queued has run.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an operation on the device has failed.
    pub fn is_idle(self) -> Result<bool> {
        let mut idle = false;
        // SAFETY: a stream of libtorch and a place for the answer.
        let message = unsafe { fewstep_stream_query(self.device, self.id, &raw mut idle) };
        ffi::check("cuda::Stream::is_idle", message).map(|()| idle)
    }

    /// Waits, on this thread, until everything that is queued has run.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an operation on the device has failed.
    pub fn synchronize(self) -> Result<()> {
        // SAFETY: a stream of libtorch.
        let message = unsafe { fewstep_stream_synchronize(self.device, self.id) };
        ffi::check("cuda::Stream::synchronize", message)
    }

    /// Lets what is queued on this stream from now on wait for what is queued on `other` now. This thread goes on.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an operation on the device has failed.
    pub fn wait_for(self, other: &Self) -> Result<()> {
        let mut event = Event::new()?;
        event.record(other)?;
        event.block(&self)
    }

    /// Keeps the memory of `tensor` from being used for another tensor until what is queued on this stream now has run.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if the tensor is not on the device.
    pub fn record(self, tensor: &Tensor) -> Result<()> {
        // SAFETY: a stream of libtorch and a borrowed tensor.
        let message = unsafe { fewstep_stream_record(self.device, self.id, tensor.as_ptr()) };
        ffi::check("cuda::Stream::record", message)
    }

    /// Makes this the current stream, and its device the current device, of this thread for as long as the guard lives.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if the driver refuses the device.
    pub fn scope(self) -> Result<StreamScope> {
        let mut previous = Previous::default();
        // SAFETY: a stream of libtorch and a place for the struct that the shim fills.
        let message = unsafe { fewstep_stream_enter(self.device, self.id, &raw mut previous) };
        ffi::check("cuda::Stream::scope", message)?;
        Ok(StreamScope { previous, not_send: PhantomData })
    }
}

/// A scope in which a stream is current; see [`Stream::scope`]. Scopes nest.
#[derive(Debug)]
#[must_use = "the stream is current until the guard is dropped"]
pub struct StreamScope {
    previous: Previous,
    /// Current streams are properties of the thread, so the guard must end on the thread it began on.
    not_send: PhantomData<*const ()>,
}

impl Drop for StreamScope {
    fn drop(&mut self) {
        // SAFETY: what the shim filled when this guard began.
        let message = unsafe { fewstep_stream_exit(&raw const self.previous) };
        // Only a device that is lost refuses; then every later operation reports it.
        let _ = ffi::check("cuda::StreamScope", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::cuda::test_device;
    use tch::Kind;

    #[test]
    fn without_a_device_there_is_no_stream() {
        let absent = Device::Cuda(999);
        for found in [
            Stream::new(absent, StreamPriority::High),
            Stream::default_of(absent),
            Stream::current(absent),
        ] {
            assert!(matches!(found, Err(Error::NoDevice { .. })), "{found:?}");
        }
    }

    #[test]
    fn a_scope_makes_a_stream_current() {
        let Some(device) = test_device() else { return };
        let before = Stream::current(device).unwrap();
        let side = Stream::new(device, StreamPriority::High).unwrap();
        let y = {
            let _scope = side.scope().unwrap();
            assert_eq!(Stream::current(device).unwrap(), side);
            Tensor::ones([1 << 20], (Kind::Float, device)).sum(Kind::Float)
        };
        assert_eq!(Stream::current(device).unwrap(), before);
        before.wait_for(&side).unwrap();
        before.record(&y).unwrap();
        assert_eq!(y.double_value(&[]), f64::from(1 << 20));
        side.synchronize().unwrap();
        assert!(side.is_idle().unwrap());
    }
}
