//! CUDA, visible to every program although none is linked to it.
//!
//! A program built with `tch` alone does not see CUDA even where it is installed: the linker drops libraries from which
//! no symbol is used, and libtorch registers its CUDA half only when that library is loaded. Every function here first
//! loads it from beside the libtorch in use, once per process. Ask these functions, not [`tch::Cuda`], first: libtorch
//! remembers the answer to its first CUDA query.
//!
//! Beyond that: [`MemoryStats`] of the allocator, [`Stream`]s and [`Event`]s, and [`CudaGraph`]s, which repeat a recorded
//! sequence of operations in one launch. Where there is no CUDA, they are refused with [`Error::NoDevice`].

mod event;
mod graph;
mod library;
mod memory;
mod status;
mod stream;

pub use event::Event;
pub use graph::{CudaGraph, graphs_supported};
pub use library::libtorch_folder;
pub use memory::{MemoryStats, empty_cache, reset_peak};
pub use status::{CudaStatus, cudnn_version, device_count, is_available, runtime_version, status};
pub use stream::{Stream, StreamPriority, StreamScope};

use crate::{Error, Result};
use std::ffi::c_int;
use tch::Device;

/// The number of a CUDA device that this process can use.
pub(crate) fn index(operation: &'static str, device: Device) -> Result<c_int> {
    let reason = match (device, status()) {
        (Device::Cuda(index), CudaStatus::Available { devices }) if index < *devices => {
            return Ok(c_int::try_from(index).expect("device numbers are small"));
        }
        (Device::Cuda(_), status) => format!("{status}"),
        _ => "it is no CUDA device".to_owned(),
    };
    Err(Error::NoDevice { operation, device, reason })
}

/// The first device, for tests that need one; says why a test is skipped where there is none.
#[cfg(test)]
#[allow(clippy::print_stderr)]
pub(crate) fn test_device() -> Option<Device> {
    if !is_available() {
        eprintln!("skipped: {}", status());
        return None;
    }
    Some(Device::Cuda(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_are_not_there_are_refused() {
        let absent = index("test", Device::Cuda(999)).unwrap_err();
        assert!(absent.to_string().contains("Cuda(999)"), "{absent}");
        assert!(absent.to_string().contains("CUDA"), "{absent}");
        let cpu = index("test", Device::Cpu).unwrap_err();
        assert!(cpu.to_string().contains("no CUDA device"), "{cpu}");
        assert_eq!(index("test", Device::Cuda(0)).is_ok(), is_available());
    }
}
