//! Several processes that compute together, on libtorch's own c10d.
//!
//! [`World`] is what a program uses: it reads the environment that torchrun (or `cargo xtask launch`) sets, connects the
//! processes and offers the collectives. A program that was started alone gets a world of one, in which every collective
//! is done before it begins. [`Environment`], [`Store`] and [`ProcessGroup`] are the parts, for other ways to start.
//!
//! Sums and broadcasts of contiguous tensors on CUDA devices go from GPU to GPU over NCCL, if every process has a GPU of its
//! own and NCCL, which comes with the CUDA build of libtorch. Everything else travels through host memory over Gloo.
//!
//! Every process must call the same collectives in the same order with tensors of the same shape and kind. Each returns
//! within the time-out of the group; a process that has died is noticed at once where its connection breaks.

mod environment;
mod nccl;
mod process_group;
mod store;
mod world;

pub use environment::Environment;
pub use process_group::ProcessGroup;
pub use store::Store;
pub use world::World;

use crate::{Error, Result};
use std::ffi::CString;
use std::time::Duration;

/// The text for C++.
fn c_text(operation: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Torch {
        operation,
        message: format!("{text:?} holds a zero byte, which no name may"),
    })
}

/// At least one: libtorch takes 0 as "for ever".
fn milliseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).max(1)
}
