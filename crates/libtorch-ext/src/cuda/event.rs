//! Marks in a queue of work.

use super::Stream;
use crate::Result;
use crate::ffi::{self, Message};
use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};

/// `c10::Event`.
#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn fewstep_event_new(timing: bool, event: *mut *mut Handle) -> Message;
    fn fewstep_event_free(event: *mut Handle);
    fn fewstep_event_record(event: *mut Handle, device: c_int, stream: i64) -> Message;
    fn fewstep_event_block(event: *const Handle, device: c_int, stream: i64) -> Message;
    fn fewstep_event_query(event: *const Handle, reached: *mut bool) -> Message;
    fn fewstep_event_synchronize(event: *const Handle) -> Message;
    fn fewstep_event_elapsed(
        from: *const Handle,
        to: *const Handle,
        milliseconds: *mut f64,
    ) -> Message;
}

/// A mark in a [`Stream`], which other streams and this thread can wait for, and between two of which time can be measured
/// as the device sees it.
///
/// # Example
/// ```
/// use libtorch_ext::cuda::{self, Event, Stream};
/// use tch::{Device, Kind, Tensor};
/// # fn main() -> Result<(), libtorch_ext::Error> {
/// # if !cuda::is_available() { return Ok(()); }
/// let stream = Stream::current(Device::Cuda(0))?;
/// let [mut start, mut end] = [Event::with_timing()?, Event::with_timing()?];
/// start.record(&stream)?;
/// let ones = Tensor::ones([512, 512], (Kind::Float, Device::Cuda(0)));
/// let _product = ones.matmul(&ones);
/// end.record(&stream)?;
/// end.synchronize()?;
/// assert!(start.elapsed_ms(&end)? > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Event {
    handle: NonNull<Handle>,
}

// SAFETY: the handle is the only reference to its event, whose functions may be called from any thread.
unsafe impl Send for Event {}

impl Event {
    /// An event to wait for.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if there is no CUDA.
    pub fn new() -> Result<Self> {
        Self::make(false)
    }

    /// An event that also takes the time.
    ///
    /// # Errors
    /// [`crate::Error::NoDevice`] if there is no CUDA.
    pub fn with_timing() -> Result<Self> {
        Self::make(true)
    }

    fn make(timing: bool) -> Result<Self> {
        const NAME: &str = "cuda::Event::new";
        super::index(NAME, tch::Device::Cuda(0))?;
        let mut handle = null_mut();
        // SAFETY: a place for one pointer.
        ffi::check(NAME, unsafe { fewstep_event_new(timing, &raw mut handle) })?;
        let handle = NonNull::new(handle).expect("the shim stores an event or reports an error");
        Ok(Self { handle })
    }

    /// Sets the mark behind what is queued on `stream` now.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if the event was recorded on another device before.
    pub fn record(&mut self, stream: &Stream) -> Result<()> {
        let (device, id) = stream.raw();
        // SAFETY: a live event and a stream of libtorch.
        let message = unsafe { fewstep_event_record(self.handle.as_ptr(), device, id) };
        ffi::check("cuda::Event::record", message)
    }

    /// Lets what is queued on `stream` from now on wait until the mark is reached.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an operation on the device has failed.
    pub fn block(&self, stream: &Stream) -> Result<()> {
        let (device, id) = stream.raw();
        // SAFETY: a live event and a stream of libtorch.
        let message = unsafe { fewstep_event_block(self.handle.as_ptr(), device, id) };
        ffi::check("cuda::Event::block", message)
    }

    /// Whether the mark is reached; true if it was never set.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an operation on the device has failed.
    pub fn is_reached(&self) -> Result<bool> {
        let mut reached = false;
        // SAFETY: a live event and a place for the answer.
        let message = unsafe { fewstep_event_query(self.handle.as_ptr(), &raw mut reached) };
        ffi::check("cuda::Event::is_reached", message).map(|()| reached)
    }

    /// Waits, on this thread, until the mark is reached.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an operation on the device has failed.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: a live event.
        let message = unsafe { fewstep_event_synchronize(self.handle.as_ptr()) };
        ffi::check("cuda::Event::synchronize", message)
    }

    /// The milliseconds from this mark to a later one, as the device measured them.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if an event takes no time, was not recorded, or is not reached yet.
    pub fn elapsed_ms(&self, later: &Self) -> Result<f64> {
        let mut milliseconds = 0.0;
        let (from, to) = (self.handle.as_ptr(), later.handle.as_ptr());
        // SAFETY: two live events and a place for the answer.
        let message = unsafe { fewstep_event_elapsed(from, to, &raw mut milliseconds) };
        ffi::check("cuda::Event::elapsed_ms", message).map(|()| milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is live, and nothing uses it afterwards.
        unsafe { fewstep_event_free(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::cuda::test_device;
    use tch::{Kind, Tensor};

    #[test]
    fn time_passes_between_marks() {
        let Some(device) = test_device() else {
            let error = Event::new().unwrap_err();
            assert!(matches!(error, Error::NoDevice { .. }), "{error}");
            return;
        };
        let stream = Stream::current(device).unwrap();
        let [mut start, mut end] = [(); 2].map(|()| Event::with_timing().unwrap());
        start.record(&stream).unwrap();
        let ones = Tensor::ones([1024, 1024], (Kind::Float, device));
        let _product = ones.matmul(&ones);
        end.record(&stream).unwrap();
        end.synchronize().unwrap();
        assert!(start.is_reached().unwrap() && end.is_reached().unwrap());
        assert!(start.elapsed_ms(&end).unwrap() > 0.0);
        assert!(Event::new().unwrap().elapsed_ms(&end).is_err());
    }
}
