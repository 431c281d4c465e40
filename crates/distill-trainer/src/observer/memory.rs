//! How much memory a run holds.

use libtorch_ext::{cuda::MemoryStats, process};
use serde::Serialize;
use tch::Device;

/// Memory of the process and of its GPU, in bytes. What cannot be measured is `None`, and absent from logs.
///
/// # Example
/// ```
/// use distill_trainer::observer::Memory;
/// let memory = Memory::of(tch::Device::Cpu);
/// assert_eq!(memory.rss.is_some(), cfg!(target_os = "linux"));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Main memory that the process holds now (its resident set).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss: Option<u64>,
    /// The most that it has held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_peak: Option<u64>,
    /// GPU memory in tensors now; only of runs on a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<u64>,
    /// The most that it has been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_peak: Option<u64>,
}

impl Memory {
    /// What a run on `device` holds. Main memory is measured on Linux only.
    pub fn of(device: Device) -> Self {
        let cuda = MemoryStats::of(device).ok();
        let bytes = |bytes: i64| bytes.unsigned_abs();
        Self {
            rss: process::rss(),
            rss_peak: process::peak_rss(),
            cuda: cuda.map(|cuda| bytes(cuda.allocated)),
            cuda_peak: cuda.map(|cuda| bytes(cuda.allocated_peak)),
        }
    }

    /// Every number that is known, with its key.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("rss", self.rss),
            ("rss_peak", self.rss_peak),
            ("cuda", self.cuda),
            ("cuda_peak", self.cuda_peak),
        ];
        all.into_iter().filter_map(|(key, bytes)| Some((key, bytes?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_written_to_is_seen() {
        let before = Memory::of(Device::Cpu).rss.unwrap();
        let block = vec![1u8; 64 << 20];
        let after = Memory::of(Device::Cpu);
        assert!(after.rss.unwrap() >= before + (32 << 20), "{before} bytes, then {after:?}");
        assert!(after.rss_peak >= after.rss);
        assert_eq!(block[block.len() - 1], 1);
    }
}
