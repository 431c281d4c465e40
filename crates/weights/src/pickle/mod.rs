//! Pickles as data.
//!
//! A pickle is a program for a small stack machine that builds Python objects. [`Machine`] runs the part of its
//! instruction set that builds containers, numbers and text, and stops at the first instruction or name that is not
//! known. Calls are not made: the few functions that files of weights name ([`globals`]) stand for what they would
//! return. Everything lives in a [`Heap`], a flat list of objects that refer to each other by number, so that shared
//! objects stay shared, cycles do no harm, and nothing is dropped recursively.
//!
//! Long data is left where it is: a byte string is the range of the file that holds it.

mod atoms;
mod calls;
mod containers;
mod fault;
mod globals;
mod heap;
mod input;
pub(crate) mod legacy;
mod machine;
mod numpy;
mod opcode;
mod tensors;
#[cfg(test)]
mod trial;

pub use fault::Fault;
pub(crate) use globals::{Global, is_script};
pub(crate) use heap::{Heap, Id, Object, Storage, Value};
pub(crate) use input::Input;
pub(crate) use machine::{Keys, Machine};
