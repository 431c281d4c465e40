//! Collectives between GPUs over NCCL.

use super::process_group::{ProcessGroup, number};
use crate::Result;
use crate::ffi::{Message, check};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::time::Duration;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// The length of NCCL's description of a meeting point.
const ID: usize = 128;

unsafe extern "C" {
    fn fewstep_nccl_unique_id(id: *mut u8) -> Message;
    fn fewstep_nccl_connect(
        id: *const u8,
        device: c_int,
        rank: c_int,
        size: c_int,
        comm: *mut *mut c_void,
    ) -> Message;
    fn fewstep_nccl_all_reduce_sum(
        comm: *mut c_void,
        tensor: *const C_tensor,
        timeout_ms: i64,
    ) -> Message;
    fn fewstep_nccl_broadcast(
        comm: *mut c_void,
        tensor: *const C_tensor,
        root: c_int,
        timeout_ms: i64,
    ) -> Message;
    fn fewstep_nccl_free(comm: *mut c_void);
}

/// The GPUs of all processes, one each, connected directly.
#[derive(Debug)]
pub(super) struct Nccl {
    comm: *mut c_void,
    timeout: Duration,
}

impl Nccl {
    /// Connects the GPUs of the processes of `group`, which meet over it; `None` in every process if one of them cannot,
    /// because it has no NCCL or two share a GPU. A collective.
    ///
    /// # Errors
    /// [`crate::Error::Collective`] if a process is gone.
    pub(super) fn join(
        group: &ProcessGroup,
        device: Device,
        timeout: Duration,
    ) -> Result<Option<Self>> {
        let mut id = [0u8; ID];
        // SAFETY: a place for as many bytes as NCCL writes.
        let made = unsafe { fewstep_nccl_unique_id(id.as_mut_ptr()) };
        if !all(group, check("nccl", made).is_ok())? {
            return Ok(None);
        }
        let shared = Tensor::from_slice(&id);
        group.broadcast(&shared, 0)?; // that of process 0 counts
        let id = Vec::<u8>::try_from(shared).expect("bytes were sent");
        let comm = crate::ffi::device_index("nccl", device).and_then(|index| {
            let mut comm = null_mut();
            let (rank, size) = (number(group.rank()), number(group.size()));
            // SAFETY: as many bytes as NCCL reads, a device that exists, and a place for a pointer.
            let message =
                unsafe { fewstep_nccl_connect(id.as_ptr(), index, rank, size, &raw mut comm) };
            check("nccl", message).map(|()| Self { comm, timeout })
        });
        let everybody = all(group, comm.is_ok())?;
        Ok(comm.ok().filter(|_| everybody))
    }

    /// The shim's message if it fails.
    pub(super) fn all_reduce_sum(&self, tensor: &Tensor) -> Message {
        let timeout = super::milliseconds(self.timeout);
        // SAFETY: the connection is alive, the tensor is borrowed until the operation is over.
        unsafe { fewstep_nccl_all_reduce_sum(self.comm, tensor.as_ptr(), timeout) }
    }

    /// The shim's message if it fails.
    pub(super) fn broadcast(&self, tensor: &Tensor, root: usize) -> Message {
        let timeout = super::milliseconds(self.timeout);
        // SAFETY: as above.
        unsafe { fewstep_nccl_broadcast(self.comm, tensor.as_ptr(), number(root), timeout) }
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: the connection came from `fewstep_nccl_connect` and ends once.
        unsafe { fewstep_nccl_free(self.comm) };
    }
}

/// Whether every process says yes.
fn all(group: &ProcessGroup, here: bool) -> Result<bool> {
    let yes = Tensor::from_slice(&[i64::from(here)]);
    group.all_reduce_sum(&yes)?;
    Ok(yes.int64_value(&[0]) == group.size() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_an_error_and_no_crash() {
        let mut id = [0u8; ID];
        // SAFETY: a place for as many bytes as NCCL writes.
        let message = unsafe { fewstep_nccl_unique_id(id.as_mut_ptr()) };
        match check("nccl", message) {
            Ok(()) => assert_ne!(id, [0; ID]),
            Err(error) => assert!(error.to_string().contains("NCCL"), "{error}"),
        }
    }
}
