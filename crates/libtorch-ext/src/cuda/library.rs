//! Finding and loading libraries at run time.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder of the libtorch that this process uses, links resolved.
pub fn libtorch_folder() -> Option<PathBuf> {
    // SAFETY: the shim returns null or the loader's own zero-terminated string, which lives as long as the process
    // since libtorch is linked and never unloaded.
    let path = unsafe {
        let path = crate::ffi::fewstep_libtorch_cpu_path();
        (!path.is_null()).then(|| CStr::from_ptr::<'static>(path))
    };
    let folder = Path::new(OsStr::from_bytes(path?.to_bytes())).parent()?;
    Some(folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))
}

/// Loads a library for the rest of the process's life.
pub(super) fn load(library: &OsStr, flags: libc::c_int) -> Result<(), String> {
    let name = CString::new(library.as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: `name` is a zero-terminated string. The libraries loaded are libtorch's CUDA half and NVIDIA's driver,
    // whose start-up code is made for being loaded into a program at run time.
    if !unsafe { libc::dlopen(name.as_ptr(), flags) }.is_null() {
        return Ok(());
    }
    // SAFETY: after a failed `dlopen`, `dlerror` returns this thread's zero-terminated message, or null.
    let reason = unsafe {
        let reason = libc::dlerror();
        (!reason.is_null()).then(|| CStr::from_ptr(reason).to_string_lossy().into_owned())
    };
    Err(reason.unwrap_or_else(|| "the loader gives no reason".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_is_found_in_the_running_process() {
        assert!(libtorch_folder().unwrap().join("libtorch_cpu.so").exists());
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let reason = load(OsStr::new("libabsent.so"), libc::RTLD_NOW).unwrap_err();
        assert!(reason.contains("libabsent.so"), "{reason}");
    }
}
