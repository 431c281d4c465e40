//! How much memory and disk there is.

use libtorch_ext::cuda::MemoryStats;
use libtorch_ext::process::{peak_rss, release_freed_memory, rss};
use std::path::Path;
use sysinfo::System;
use tch::Device;

/// Bytes that this process can still take from the machine, or from the container it runs in.
pub(super) fn available_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    if system.total_memory() == 0 {
        return None; // the system does not say
    }
    let limit = system.cgroup_limits().map(|of| of.total_memory.saturating_sub(of.rss));
    Some(system.available_memory().min(limit.unwrap_or(u64::MAX)))
}

/// Bytes that are free on the disk of `path`, which need not exist yet.
pub(super) fn free_disk(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let stat = path.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Measures the memory of a device that this process uses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meter {
    /// The process's own.
    Host,
    /// A CUDA device's; other processes on it disturb the measurement.
    Cuda(usize),
}

impl Meter {
    /// `None` for a device that cannot be measured.
    pub(super) fn new(device: Device) -> Option<Self> {
        match device {
            Device::Cpu => Some(Self::Host),
            Device::Cuda(index) => Some(Self::Cuda(index)),
            _ => None,
        }
    }

    /// Bytes that can still be taken.
    pub(super) fn available(self) -> Option<u64> {
        match self {
            Self::Host => available_memory(),
            Self::Cuda(index) => {
                MemoryStats::of(Device::Cuda(index)).ok().map(|stats| stats.free.unsigned_abs())
            }
        }
    }

    /// The peak of what `work` takes, as the level before it and the level at its peak: their difference is meant, the
    /// levels count from anywhere.
    pub(super) fn watch<E>(
        self,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Option<[i64; 2]>, E> {
        match self {
            Self::Host => {
                release_freed_memory();
                let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
                let before = rss();
                work()?;
                Ok(before
                    .zip(peak_rss())
                    .filter(|_| reset)
                    .map(|(before, peak)| [before as i64, peak as i64]))
            }
            Self::Cuda(_) => {
                let before = self.available();
                work()?; // libtorch gives nothing back to the driver: what is taken now was the peak
                let taken = |free: u64| -(free as i64);
                Ok(before
                    .zip(self.available())
                    .map(|(before, after)| [taken(before), taken(after)]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_found_above_a_folder_that_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["", "not/yet/there"].map(|path| free_disk(&folder.path().join(path)));
        let (here, there) = (here.unwrap() as f64, there.unwrap() as f64);
        assert!((here / there - 1.0).abs() < 0.1, "{here} and {there}"); // others write at the same time
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_is_seen_after_the_memory_is_freed() {
        let work = || {
            std::hint::black_box(vec![1u8; 64 << 20]);
            Ok::<(), ()>(())
        };
        let [before, peak] = Meter::Host.watch(work).unwrap().unwrap();
        assert!(peak - before > 60 << 20, "{before} to {peak}");
        assert!(rss().unwrap() > 1 << 20);
        assert!(available_memory().unwrap() > 1 << 20);
    }
}
