//! Diffusion distillation methods.
//!
//! A method's *mathematics* is in [`terms`]: pure functions from tensors and denoisers to a loss per image, usable
//! without the trainer. Its *choreography* is in [`methods`]: one file that says who plays, in which turns, and which
//! term each turn minimizes. [`METHODS`] lists them all; adding one is one file and two lines.
//!
//! # Example
//! ```
//! use distill_losses::{METHODS, method};
//! assert!(METHODS.iter().any(|entry| entry.name == "sid"));
//! assert!(method("sdi").unwrap_err().to_string().contains("did you mean `sid`"));
//! ```
#![forbid(unsafe_code)]

mod distiller;
mod dropout;
mod error;
pub mod methods;
mod table;
pub mod terms;

pub use distiller::{Distiller, Ingredients};
pub use dropout::WithDropout;
pub use error::{Error, Result};
pub use table::{METHODS, MethodInfo, markdown_table, method};
