//! The process and its processor: compute threads, memory allocator, memory in use, instruction sets.

use crate::ffi::{self, Message};
use std::ffi::c_char;

unsafe extern "C" {
    fn fewstep_cpu_has(name: *const c_char, present: *mut bool) -> Message;
}

/// Sets the number of threads that one operation on the CPU may use.
///
/// One per physical core is right for a program alone on its machine. One thread is better in tests, which cargo runs
/// side by side: threads that compete for a core wait for each other spinning.
///
/// # Panics
/// If `threads` is zero.
pub fn set_threads(threads: usize) {
    let threads = i32::try_from(threads).expect("the number of threads fits an i32");
    assert!(threads > 0, "an operation needs at least one thread");
    tch::set_num_threads(threads);
}

/// Tells the C library to keep freed memory for the next step instead of giving it back.
///
/// A training step frees and allocates the same large blocks again and again; glibc by default maps and unmaps each of
/// them. Call it once at the start of `main`: 4 to 8 % of a CPU training step, at the price of memory that stays with
/// the process. Does nothing where the C library is not glibc.
pub fn tune_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` with documented parameters is safe to call at any time; glibc locks internally.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// Gives memory that was freed back to the system, so that the process's size says what it uses.
///
/// Returns at once where the C library is not glibc.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` has no preconditions; glibc locks internally.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The memory that the process holds now, in bytes; none where the system has no `/proc`.
///
/// # Example
/// ```
/// use libtorch_ext::process::{peak_rss, rss};
/// assert_eq!(rss().is_some(), peak_rss().is_some());
/// ```
pub fn rss() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// The most memory that the process ever held, in bytes; none where the system has no `/proc`. Linux counts in batches, so
/// this can be some hundred kilobytes less than an earlier [`rss`].
pub fn peak_rss() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// The value of a line such as `VmRSS:     1234 kB`.
fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// How the processor computes in `bf16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuBf16 {
    /// Through `f32`: `bf16` is slower than `f32`.
    Emulated,
    /// With dot products of vectors (`avx512_bf16`): about twice as fast as `f32`.
    Vectors,
    /// With products of tiles (`amx_bf16`): several times as fast as `f32`.
    Tiles,
}

/// How the processor computes in `bf16`, as libtorch finds it.
pub fn cpu_bf16() -> CpuBf16 {
    if cpu_has(c"amx_bf16") {
        CpuBf16::Tiles
    } else if cpu_has(c"avx512_bf16") {
        CpuBf16::Vectors
    } else {
        CpuBf16::Emulated
    }
}

/// Whether libtorch finds an instruction set.
fn cpu_has(name: &std::ffi::CStr) -> bool {
    let mut present = false;
    // SAFETY: a zero-terminated name and a place for the answer.
    let message = unsafe { fewstep_cpu_has(name.as_ptr(), &raw mut present) };
    ffi::check("process::cpu_bf16", message).is_ok() && present
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_set() {
        set_threads(1);
        assert_eq!(tch::get_num_threads(), 1);
    }

    #[test]
    fn the_tuned_allocator_still_allocates() {
        tune_allocator();
        let block = tch::Tensor::ones([1 << 20], (tch::Kind::Float, tch::Device::Cpu));
        assert_eq!(block.sum(tch::Kind::Float).double_value(&[]), f64::from(1 << 20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_counted() {
        let before = rss().unwrap();
        let block = tch::Tensor::ones([64 << 20], (tch::Kind::Uint8, tch::Device::Cpu));
        let during = rss().unwrap();
        drop(block);
        // Other tests free and allocate at the same time, so half of the block has to do.
        assert!(during > before + (32 << 20), "{before} {during}");
        assert!(peak_rss().unwrap() > before + (32 << 20));
        assert_eq!(status_bytes("VmAbsent:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn instruction_sets_are_those_of_the_system() {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let listed = |name| flags.split_whitespace().any(|flag| flag == name);
        let expected = match (listed("amx_bf16"), listed("avx512_bf16")) {
            (true, _) => CpuBf16::Tiles,
            (_, true) => CpuBf16::Vectors,
            _ => CpuBf16::Emulated,
        };
        assert_eq!(cpu_bf16(), expected);
    }
}
