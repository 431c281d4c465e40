//! Where tensors live: `auto`, `cpu`, `cuda`, `cuda:N`.

use crate::{Error, Result};
use tch::Device;

/// The device of that name.
///
/// Asks libtorch for CUDA in the one way that works for every binary: the CUDA half of libtorch is loaded at run time
/// before the first query, so "installed but not linked" cannot happen.
///
/// # Errors
/// [`Error::UnknownDevice`] for a name that is no device, [`Error::NoCuda`] if the machine has no such CUDA device.
///
/// # Example
/// ```
/// assert_eq!(diffusion_core::device::parse("cpu")?, tch::Device::Cpu);
/// assert!(diffusion_core::device::parse("gpu").is_err());
/// # Ok::<(), diffusion_core::Error>(())
/// ```
pub fn parse(name: &str) -> Result<Device> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" if libtorch_ext::cuda::device_count() == 0 => return Ok(Device::Cpu),
        "auto" | "cuda" => 0,
        other => other
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .ok_or_else(|| Error::UnknownDevice(name.into()))?,
    };
    let found = libtorch_ext::cuda::device_count();
    if index < found {
        Ok(Device::Cuda(index))
    } else {
        Err(Error::NoCuda { requested: name.into(), found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gpu_is_an_error_that_helps() {
        let error = parse("cuda:99").unwrap_err();
        assert!(matches!(error, Error::NoCuda { .. }));
        assert!(error.to_string().contains("cargo xtask doctor"));
    }

    #[test]
    fn auto_always_works() {
        assert!(parse("auto").is_ok());
    }
}
