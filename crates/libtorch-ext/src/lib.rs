//! What `tch` lacks, over the same libtorch.
//!
//! A small C++ shim, compiled against the headers of the libtorch that `tch` links, and safe Rust over it:
//!
//! - [`cuda`] makes the CUDA half of libtorch visible to any program, without linking it;
//! - [`distributed`] connects processes and reduces tensors over them;
//! - [`Autocast`] computes in `bf16` for as long as a guard lives;
//! - [`fused`] updates whole lists of tensors (Adam, AdamW, moving averages, clipping) in a handful of kernels;
//! - [`process`] sets the process up for training: threads, memory allocator.
//!
//! This is the only crate of the workspace with `unsafe` code. No C++ exception and no panic crosses the border between
//! the languages: failures inside libtorch come back as [`Error`].
#![warn(clippy::undocumented_unsafe_blocks)]

mod autocast;
pub mod cuda;
pub mod distributed;
mod error;
mod ffi;
pub mod fused;
pub mod process;

pub use autocast::Autocast;
pub use error::{Error, Result};
