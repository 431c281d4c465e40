//! Sequences of operations that are recorded once and repeated in one launch.

use super::{Stream, StreamPriority, index};
use crate::ffi::{self, Message};
use crate::{Error, Result};
use std::ptr::{NonNull, null_mut};
use tch::Device;

/// `at::cuda::CUDAGraph`.
#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn fewstep_graph_supported() -> Message;
    fn fewstep_graph_new(graph: *mut *mut Handle) -> Message;
    fn fewstep_graph_free(graph: *mut Handle);
    fn fewstep_graph_begin(graph: *mut Handle) -> Message;
    fn fewstep_graph_end(graph: *mut Handle) -> Message;
    fn fewstep_graph_replay(graph: *mut Handle) -> Message;
    fn fewstep_graph_reset(graph: *mut Handle) -> Message;
}

/// Whether the CUDA half of libtorch is loaded and has everything that [`CudaGraph`] needs. A device is not needed.
///
/// # Errors
/// [`Error::NoDevice`] if it is not loaded, [`Error::Torch`] with the name of a function that it lacks.
pub fn graphs_supported() -> Result<()> {
    const NAME: &str = "cuda::graphs_supported";
    if super::runtime_version().is_none() {
        let reason = super::status().to_string();
        return Err(Error::NoDevice { operation: NAME, device: Device::Cuda(0), reason });
    }
    // SAFETY: no arguments; looks names up in loaded libraries.
    ffi::check(NAME, unsafe { fewstep_graph_supported() })
}

/// A recorded sequence of operations on a CUDA device.
///
/// A step of a small network is bound by the time that it takes to launch its hundreds of kernels. A graph launches all
/// of them at once. It repeats exactly what was recorded, on the same memory: inputs must be copied into the tensors that
/// the recorded operations read (`copy_`), and results appear in the tensors that they wrote. Those tensors must live as
/// long as the graph is replayed.
///
/// Run the operations a few times before recording them, so that libraries have made their choices and their work space.
/// While they are recorded nothing is computed, so nothing may read from the device (`double_value`, printing) or depend
/// on it. Shapes cannot change.
///
/// # Example
/// ```
/// use libtorch_ext::cuda::{self, CudaGraph};
/// use tch::{Device, Kind, Tensor};
/// # fn main() -> Result<(), libtorch_ext::Error> {
/// # if !cuda::is_available() { return Ok(()); }
/// let mut x = Tensor::ones([3], (Kind::Float, Device::Cuda(0)));
/// let (mut graph, y) = CudaGraph::capture(Device::Cuda(0), || &x * 2.0)?;
/// x.copy_(&Tensor::from_slice(&[1f32, 2.0, 3.0]));
/// graph.replay()?;
/// assert_eq!(y.double_value(&[2]), 6.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CudaGraph {
    handle: NonNull<Handle>,
    device: Device,
}

impl CudaGraph {
    /// Records what `body` does on `device`, on a stream of its own, and returns the graph with what `body` returns:
    /// usually the tensors in which results will appear. What `body` would compute is computed by the first replay.
    ///
    /// If `body` panics, the recording ends, the graph is dropped and the panic goes on; later work is not affected.
    ///
    /// # Errors
    /// [`Error::NoDevice`] if this process cannot use the device, [`Error::Torch`] if something cannot be recorded.
    pub fn capture<T>(device: Device, body: impl FnOnce() -> T) -> Result<(Self, T)> {
        const NAME: &str = "cuda::CudaGraph::capture";
        index(NAME, device)?;
        let side = Stream::new(device, StreamPriority::Normal)?;
        let before = Stream::current(device)?;
        side.wait_for(&before)?;
        let mut graph = {
            // The object remembers the stream that is current.
            let _scope = side.scope()?;
            Self::empty(device)?
        };
        let value = {
            let _scope = side.scope()?;
            // Declared after the scope, so that it ends first also if `body` panics.
            let recording = Recording::begin(&mut graph)?;
            let value = body();
            recording.end()?;
            value
        };
        before.wait_for(&side)?;
        Ok((graph, value))
    }

    fn empty(device: Device) -> Result<Self> {
        let mut handle = null_mut();
        // SAFETY: a place for one pointer; CUDA is there, so the functions can be found.
        ffi::check("cuda::CudaGraph::capture", unsafe { fewstep_graph_new(&raw mut handle) })?;
        let handle = NonNull::new(handle).expect("the shim stores a graph or reports an error");
        Ok(Self { handle, device })
    }

    /// The device on which the operations run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Queues the recorded operations on the current stream. Does not wait for them.
    ///
    /// # Errors
    /// [`Error::Torch`] if the graph was [reset](Self::reset), or an operation on the device has failed.
    pub fn replay(&mut self) -> Result<()> {
        // SAFETY: a live graph.
        let message = unsafe { fewstep_graph_replay(self.handle.as_ptr()) };
        ffi::check("cuda::CudaGraph::replay", message)
    }

    /// Forgets the recording and gives its memory back; tensors that `capture` returned keep theirs.
    ///
    /// # Errors
    /// [`Error::Torch`] if an operation on the device has failed.
    pub fn reset(&mut self) -> Result<()> {
        // SAFETY: a live graph.
        let message = unsafe { fewstep_graph_reset(self.handle.as_ptr()) };
        ffi::check("cuda::CudaGraph::reset", message)
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: the graph is live, and nothing uses it afterwards.
        unsafe { fewstep_graph_free(self.handle.as_ptr()) };
    }
}

/// A recording that has begun; dropping it ends it, whatever it has become.
struct Recording<'a> {
    graph: &'a mut CudaGraph,
    open: bool,
}

impl<'a> Recording<'a> {
    fn begin(graph: &'a mut CudaGraph) -> Result<Self> {
        // SAFETY: a live graph.
        let message = unsafe { fewstep_graph_begin(graph.handle.as_ptr()) };
        ffi::check("cuda::CudaGraph::capture", message)?;
        Ok(Self { graph, open: true })
    }

    fn end(mut self) -> Result<()> {
        self.open = false;
        self.close()
    }

    fn close(&mut self) -> Result<()> {
        // SAFETY: a live graph whose recording has begun and not ended.
        let message = unsafe { fewstep_graph_end(self.graph.handle.as_ptr()) };
        ffi::check("cuda::CudaGraph::capture", message)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.open {
            // On the way out of a panic: the recording is thrown away, so its errors do not matter.
            let _ = self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::test_device;
    use tch::{Kind, Tensor};

    #[test]
    fn without_a_device_nothing_is_recorded() {
        let error = CudaGraph::capture(Device::Cuda(999), || panic!("not called")).unwrap_err();
        assert!(matches!(error, Error::NoDevice { .. }), "{error}");
        let error = CudaGraph::capture(Device::Cpu, || panic!("not called")).unwrap_err();
        assert!(matches!(error, Error::NoDevice { .. }), "{error}");
    }

    #[test]
    fn support_is_known_without_a_device() {
        match graphs_supported() {
            Ok(()) => assert!(crate::cuda::runtime_version().is_some()),
            Err(error) => assert!(matches!(error, Error::NoDevice { .. }), "{error}"),
        }
    }

    #[test]
    fn a_replay_computes_what_was_recorded_on_new_inputs() {
        let Some(device) = test_device() else { return };
        let f = |x: &Tensor| (x.matmul(x) + 1.0).silu();
        let mut x = Tensor::ones([64, 64], (Kind::Float, device));
        let _warm = f(&x);
        let (mut graph, y) = CudaGraph::capture(device, || f(&x)).unwrap();
        for step in 1..4 {
            let input =
                (Tensor::arange(4096, (Kind::Float, device)) * step).sin().reshape([64, 64]);
            x.copy_(&input);
            graph.replay().unwrap();
            assert_eq!(y, f(&input), "step {step}");
        }
        graph.reset().unwrap();
        assert!(graph.replay().is_err());
    }

    #[test]
    fn a_panic_ends_the_recording() {
        let Some(device) = test_device() else { return };
        let caught = std::panic::catch_unwind(|| {
            CudaGraph::capture(device, || panic!("inside the recording")).map(|_| ())
        });
        assert!(caught.is_err());
        let x = Tensor::ones([3], (Kind::Float, device));
        assert_eq!((&x + 1.0).double_value(&[0]), 2.0);
        let (mut graph, y) = CudaGraph::capture(device, || &x * 5.0).unwrap();
        graph.replay().unwrap();
        assert_eq!(y.double_value(&[0]), 5.0);
    }
}
