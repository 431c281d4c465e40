//! Settings of the whole process: compute threads and the memory allocator.

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
}
