//! Whether CUDA can be used, and if not, why.

use super::library::{libtorch_folder, load};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use tch::{Device, Kind, Tensor};

const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// Whether CUDA can be used, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CudaStatus {
    /// CUDA works.
    Available {
        /// The number of devices.
        devices: usize,
    },
    /// The libtorch in use is the CPU-only part.
    NoLibrary {
        /// The folder without `libtorch_cuda.so`.
        folder: PathBuf,
    },
    /// `libtorch_cuda.so` is there but cannot be loaded, usually because one of NVIDIA's libraries is missing.
    BrokenLibrary {
        /// The loader's reason.
        reason: String,
    },
    /// Something asked libtorch for CUDA before this crate could load it.
    LoadedTooLate,
    /// The machine has no NVIDIA driver.
    NoDriver,
    /// There is a driver but no device that it offers to this process.
    NoDevice {
        /// libtorch's reason.
        reason: String,
    },
}

impl fmt::Display for CudaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available { devices } => write!(f, "{devices} CUDA device(s)"),
            Self::NoLibrary { folder } => write!(
                f,
                "no CUDA: {} has no {CUDA_LIBRARY}, it is the CPU-only libtorch; \
                 `cargo xtask setup --cuda` gets the full one",
                folder.display()
            ),
            Self::BrokenLibrary { reason } => write!(
                f,
                "no CUDA: {CUDA_LIBRARY} cannot be loaded ({reason}); \
                 `cargo xtask setup --cuda` gets it with all the libraries it needs"
            ),
            Self::LoadedTooLate => write!(
                f,
                "no CUDA: libtorch was asked for CUDA before {CUDA_LIBRARY} was loaded; \
                 call `libtorch_ext::cuda::device_count()` first, at the start of `main`"
            ),
            Self::NoDriver => write!(
                f,
                "no CUDA: libcuda.so.1 cannot be loaded, so there is no NVIDIA driver on this machine \
                 (or it is not passed into this container)"
            ),
            Self::NoDevice { reason } => write!(
                f,
                "no CUDA: there is an NVIDIA driver, but no usable device ({reason}); \
                 look at `nvidia-smi` and at CUDA_VISIBLE_DEVICES"
            ),
        }
    }
}

/// The number of CUDA devices that this process can use; zero if there is no CUDA.
///
/// # Example
/// ```
/// let devices = libtorch_ext::cuda::device_count();
/// assert_eq!(libtorch_ext::cuda::is_available(), devices > 0);
/// ```
pub fn device_count() -> usize {
    match status() {
        CudaStatus::Available { devices } => *devices,
        _ => 0,
    }
}

/// Whether this process can use a CUDA device.
pub fn is_available() -> bool {
    device_count() > 0
}

/// cuDNN's version as cuDNN counts it (91900 is 9.19.0), if the CUDA half of libtorch is loaded.
pub fn cudnn_version() -> Option<i64> {
    loaded().then(tch::utils::version_cudnn)
}

/// The version of the CUDA run time (13000 is 13.0), if the CUDA half of libtorch is loaded.
pub fn runtime_version() -> Option<i64> {
    loaded().then(tch::utils::version_cudart)
}

/// Whether CUDA can be used, and if not, why. Found out once, at the first call (about a tenth of a second).
pub fn status() -> &'static CudaStatus {
    static STATUS: OnceLock<CudaStatus> = OnceLock::new();
    STATUS.get_or_init(find_devices)
}

fn find_devices() -> CudaStatus {
    let folder = libtorch_folder().unwrap_or_default();
    let library = folder.join(CUDA_LIBRARY);
    if !library.exists() {
        return CudaStatus::NoLibrary { folder };
    }
    if let Err(reason) = load(library.as_os_str(), libc::RTLD_NOW | libc::RTLD_GLOBAL) {
        return CudaStatus::BrokenLibrary { reason };
    }
    if !tch::utils::has_cudart() {
        return CudaStatus::LoadedTooLate;
    }
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(devices) if devices > 0 => CudaStatus::Available { devices },
        _ if load(OsStr::new("libcuda.so.1"), libc::RTLD_LAZY).is_err() => CudaStatus::NoDriver,
        _ => CudaStatus::NoDevice { reason: why_no_device() },
    }
}

/// Whether the CUDA half of libtorch is in this process and registered.
fn loaded() -> bool {
    !matches!(
        status(),
        CudaStatus::NoLibrary { .. } | CudaStatus::BrokenLibrary { .. } | CudaStatus::LoadedTooLate
    )
}

/// The first line of what libtorch says when a tensor is put on a device that it does not find.
fn why_no_device() -> String {
    let attempt = Tensor::f_zeros([1], (Kind::Float, Device::Cuda(0)));
    let message =
        attempt.err().map_or_else(|| "device 0 works".to_owned(), |error| error.to_string());
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_explains_the_number_of_devices() {
        let expected = match status() {
            CudaStatus::Available { devices } => *devices,
            reason => {
                assert!(reason.to_string().starts_with("no CUDA: "), "{reason}");
                0
            }
        };
        assert_eq!(device_count(), expected);
        assert_eq!(usize::try_from(tch::Cuda::device_count()).unwrap_or(0), expected);
    }
}
