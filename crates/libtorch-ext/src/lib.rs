//! What tch lacks, over the same libtorch.
#![allow(missing_docs)]
pub mod cuda {
    pub fn device_count() -> usize { 0 }
}
