//! Files of weights in every format: what is read, and what is refused.

mod agreement;
mod assemble;
mod folder;
mod formats;
mod golden;
mod random;
mod refusals;
mod torchscript;
