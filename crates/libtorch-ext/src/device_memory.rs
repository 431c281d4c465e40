//! How much memory a CUDA device has left.

use crate::cuda;
use std::ffi::CStr;
use std::mem::transmute;

type GetDevice = unsafe extern "C" fn(*mut libc::c_int) -> libc::c_int;
type SetDevice = unsafe extern "C" fn(libc::c_int) -> libc::c_int;
type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> libc::c_int;

/// Bytes that the driver can still give out on the CUDA device `index`, for all processes together; `None` without CUDA.
///
/// What libtorch's allocator keeps for reuse counts as given out.
///
/// # Example
/// ```
/// if let Some(free) = libtorch_ext::cuda_free_memory(0) {
///     assert!(free < 1 << 50);
/// }
/// ```
pub fn cuda_free_memory(index: usize) -> Option<u64> {
    if index >= cuda::device_count() {
        return None; // also loads the CUDA half of libtorch, and with it the run time
    }
    let index = libc::c_int::try_from(index).ok()?;
    let get_device = symbol(c"cudaGetDevice")?;
    let set_device = symbol(c"cudaSetDevice")?;
    let mem_get_info = symbol(c"cudaMemGetInfo")?;
    // SAFETY: the symbols are functions of the CUDA run time, whose C interface has had these signatures since its first
    // version; the status is 0 exactly if they succeeded.
    unsafe {
        let get_device = transmute::<*mut libc::c_void, GetDevice>(get_device);
        let set_device = transmute::<*mut libc::c_void, SetDevice>(set_device);
        let mem_get_info = transmute::<*mut libc::c_void, MemGetInfo>(mem_get_info);
        let (mut before, mut free, mut total) = (0, 0, 0);
        if get_device(&raw mut before) != 0 || set_device(index) != 0 {
            return None;
        }
        let status = mem_get_info(&raw mut free, &raw mut total);
        set_device(before);
        (status == 0).then_some(free as u64)
    }
}

/// A function that some library of this process has.
fn symbol(name: &CStr) -> Option<*mut libc::c_void> {
    // SAFETY: `name` is a zero-terminated string; the default scope always exists.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_exist_have_an_answer_and_others_none() {
        let devices = cuda::device_count();
        assert!((0..devices).all(|index| cuda_free_memory(index).is_some()));
        assert_eq!(cuda_free_memory(devices), None);
    }

    #[test]
    fn symbols_are_found_by_name() {
        assert!(symbol(c"malloc").is_some());
        assert!(symbol(c"fewstep_no_such_symbol").is_none());
    }
}
