//! How much memory a run holds.

use serde::Serialize;
use std::fs;

/// Memory of the process and of its GPU, in bytes. What cannot be measured is `None`, and absent from logs.
///
/// # Example
/// ```
/// use distill_trainer::observer::Memory;
/// let memory = Memory::of_process();
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
    /// Main memory, from `/proc/self/status`: measured on Linux only.
    pub fn of_process() -> Self {
        fs::read_to_string("/proc/self/status")
            .map_or(Self::default(), |status| Self::parse(&status))
    }

    /// The same with the GPU's memory in tensors, now and at most.
    #[must_use]
    pub fn with_cuda(self, now: u64, peak: u64) -> Self {
        Self { cuda: Some(now), cuda_peak: Some(peak), ..self }
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

    fn parse(status: &str) -> Self {
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        Self { rss: bytes("VmRSS:"), rss_peak: bytes("VmHWM:"), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_become_bytes() {
        let status = "Name:\tfewstep\nVmPeak:\t  900 kB\nVmHWM:\t    12 kB\nVmRSS:\t     7 kB\n";
        let memory = Memory::parse(status);
        assert_eq!((memory.rss, memory.rss_peak), (Some(7 * 1024), Some(12 * 1024)));
    }

    #[test]
    fn what_is_not_there_is_not_made_up() {
        for status in ["", "VmRSS: many kB", "VmRSS: 7 MB", "VmRSS: 99999999999999999999 kB"] {
            assert_eq!(Memory::parse(status), Memory::default(), "{status}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_written_to_is_seen() {
        let before = Memory::of_process().rss.unwrap();
        let block = vec![1u8; 64 << 20];
        let after = Memory::of_process();
        assert!(after.rss.unwrap() >= before + (32 << 20), "{before} bytes, then {after:?}");
        assert!(after.rss_peak >= after.rss);
        assert_eq!(block[block.len() - 1], 1);
    }
}
