//! What `tch` lacks, over the same libtorch.
//!
//! A small C++ shim, compiled against the headers of the libtorch that `tch` links, and safe Rust over it:
//!
//! - [`cuda`] makes the CUDA half of libtorch visible to any program, without linking it, and adds its memory statistics,
//!   streams, events and graphs;
//! - [`distributed`] connects processes and reduces tensors over them;
//! - [`autograd`] adds gradients with cotangents, derivatives in a direction, and checkpointed segments;
//! - [`Autocast`] computes in `bf16` for as long as a guard lives;
//! - [`fused`] updates whole lists of tensors (Adam, AdamW, moving averages, clipping) in a handful of kernels;
//! - [`kernels`] are convolution, group normalization and attention for the CPU, faster than libtorch's;
//! - [`memory_format`] lays tensors out with their channels last;
//! - [`rebase`] moves tensors into memory that they share;
//! - [`Generator`] is a random number generator of one's own;
//! - [`switches`] are libtorch's settings: precision, determinism, choice of kernels, inference mode;
//! - [`process`] sets the process up for training (threads, memory allocator) and says what it has and uses.
//!
//! This is the only crate of the workspace with `unsafe` code. No C++ exception and no panic crosses the border between
//! the languages: failures inside libtorch come back as [`Error`].
#![warn(clippy::undocumented_unsafe_blocks)]

mod autocast;
pub mod autograd;
pub mod cuda;
pub mod distributed;
mod error;
mod ffi;
pub mod fused;
mod generator;
pub mod kernels;
pub mod memory_format;
pub mod process;
mod rebase;
pub mod switches;

pub use autocast::Autocast;
pub use error::{Error, Result};
pub use generator::Generator;
pub use rebase::rebase;
