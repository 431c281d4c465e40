//! Every format read back from files made here, every kind of bad input, and the loader's promises.

mod bad_input;
mod fixtures;
mod formats;
mod in_order;
mod loader;
mod npz;
