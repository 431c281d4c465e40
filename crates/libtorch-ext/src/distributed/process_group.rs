//! Collectives over Gloo, and over NCCL where that is possible.

use super::nccl::Nccl;
use super::{Store, c_text, milliseconds};
use crate::ffi::{self, check, pointers, reported};
use crate::{Error, Result};
use std::cell::OnceCell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Duration;
use tch::{Device, Tensor};

/// Processes that exchange tensors (c10d's `ProcessGroupGloo`, and NCCL between GPUs).
///
/// Every method is a collective: all processes call it, in the same order, and it returns when this process has its
/// result. Tensors on CUDA devices are copied to the host and back where NCCL cannot be used. After an error the group is of no further use; drop
/// it. Dropping closes the connections, which the other processes notice.
///
/// # Gradient
/// None is recorded.
#[derive(Debug)]
pub struct ProcessGroup {
    handle: *mut c_void,
    rank: usize,
    size: usize,
    timeout: Duration,
    /// Set by the first collective on a CUDA device.
    nccl: OnceCell<Option<Nccl>>,
}

/// Where a process group of this machine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A host name or number of this machine.
    Host(String),
    /// The name of a network interface, such as `eth0`.
    Interface(String),
}

impl ProcessGroup {
    /// Joins the group of `size` processes as number `rank`, listening on `host`: a name or number of this machine that
    /// the others can reach.
    ///
    /// # Errors
    /// [`Error::Torch`] if the others do not come within `timeout`, or this machine has no such host.
    pub fn gloo(
        store: &Store,
        rank: usize,
        size: usize,
        host: &str,
        timeout: Duration,
    ) -> Result<Self> {
        Self::join(store, rank, size, &Address::Host(host.to_owned()), timeout)
    }

    pub(super) fn join(
        store: &Store,
        rank: usize,
        size: usize,
        address: &Address,
        timeout: Duration,
    ) -> Result<Self> {
        const NAME: &str = "ProcessGroup::gloo";
        let (text, interface) = match address {
            Address::Host(name) => (c_text(NAME, name)?, false),
            Address::Interface(name) => (c_text(NAME, name)?, true),
        };
        let mut handle = ptr::null_mut();
        // SAFETY: the store is borrowed for the call and shared by the C++ group beyond it; the text outlives the call,
        // and the place for the handle is valid.
        let message = unsafe {
            ffi::fewstep_gloo_connect(
                store.as_ptr(),
                number(rank),
                number(size),
                text.as_ptr(),
                interface,
                milliseconds(timeout),
                &raw mut handle,
            )
        };
        check(NAME, message)?;
        Ok(Self { handle, rank, size, timeout, nccl: OnceCell::new() })
    }

    /// The number of this process.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Replaces `tensor` by the sum over all processes, the same bits in each.
    ///
    /// # Errors
    /// [`Error::Collective`] if a process has ended or does not answer in time.
    pub fn all_reduce_sum(&self, tensor: &Tensor) -> Result<()> {
        if let Some(nccl) = self.nccl(tensor)? {
            return self.result("all_reduce", nccl.all_reduce_sum(tensor));
        }
        self.on_host("all_reduce", tensor, |host| {
            // SAFETY: group and tensor are borrowed for the call, which returns when the operation is over.
            unsafe { ffi::fewstep_all_reduce_sum(self.handle, host.as_ptr()) }
        })
    }

    /// Replaces `tensor` by that of process `root`.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce_sum`].
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<()> {
        if let Some(nccl) = self.nccl(tensor)? {
            return self.result("broadcast", nccl.broadcast(tensor, root));
        }
        self.on_host("broadcast", tensor, |host| {
            // SAFETY: group and tensor are borrowed for the call, which returns when the operation is over.
            unsafe { ffi::fewstep_broadcast(self.handle, host.as_ptr(), number(root)) }
        })
    }

    /// The tensors of all processes by rank, on the host.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce_sum`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        let mine = tensor.detach().to_device(Device::Cpu).contiguous();
        let gathered: Vec<Tensor> = (0..self.size).map(|_| mine.zeros_like()).collect();
        let places = pointers(&gathered);
        // SAFETY: as many places as processes, all tensors borrowed for the call, which returns when it is over.
        let message = unsafe {
            ffi::fewstep_all_gather(self.handle, places.as_ptr(), places.len(), mine.as_ptr())
        };
        self.result("all_gather", message)?;
        Ok(gathered)
    }

    /// Waits until all processes are here.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce_sum`].
    pub fn barrier(&self) -> Result<()> {
        // SAFETY: the group is borrowed for the call, which returns when the operation is over.
        self.result("barrier", unsafe { ffi::fewstep_barrier(self.handle) })
    }

    /// The direct connection of the GPUs, if the tensor can take it.
    fn nccl(&self, tensor: &Tensor) -> Result<Option<&Nccl>> {
        if !tensor.device().is_cuda() || !tensor.is_contiguous() || tensor.numel() == 0 {
            return Ok(None);
        }
        if let Some(known) = self.nccl.get() {
            return Ok(known.as_ref());
        }
        let joined = Nccl::join(self, tensor.device(), self.timeout)?;
        Ok(self.nccl.get_or_init(|| joined).as_ref())
    }

    /// Runs `operate` on the tensor itself if Gloo can, else on a copy on the host that is copied back.
    fn on_host(
        &self,
        operation: &'static str,
        tensor: &Tensor,
        operate: impl FnOnce(&Tensor) -> *mut std::ffi::c_char,
    ) -> Result<()> {
        if tensor.numel() == 0 {
            return Ok(());
        }
        let _guard = tch::no_grad_guard();
        let here = tensor.device() == Device::Cpu && tensor.is_contiguous();
        let mut tensor = tensor.detach();
        if here {
            return self.result(operation, operate(&tensor));
        }
        let host = tensor.to_device(Device::Cpu).contiguous();
        self.result(operation, operate(&host))?;
        tensor.copy_(&host);
        Ok(())
    }

    fn result(&self, operation: &'static str, message: *mut std::ffi::c_char) -> Result<()> {
        reported(message).map_err(|message| Error::Collective {
            operation,
            rank: self.rank,
            size: self.size,
            timeout_s: self.timeout.as_secs_f64(),
            message,
        })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // SAFETY: the handle came from `fewstep_gloo_connect` and is freed once; no operation is under way.
        unsafe { ffi::fewstep_group_free(self.handle) }
    }
}

/// A rank or size as C++ takes it.
pub(super) fn number(rank: usize) -> c_int {
    c_int::try_from(rank).expect("ranks are small")
}
