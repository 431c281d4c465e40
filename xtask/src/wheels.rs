//! Getting libtorch: out of the wheels of PyTorch, which pip downloads and checks.
//!
//! PyPI has no CPU-only PyTorch for Linux. The small set-up therefore takes the usual wheel, leaves its CUDA half out,
//! and adds the two small NVIDIA libraries that the CPU half is linked against.

use crate::error::{Error, Result};
use crate::libtorch::VERSION;
use crate::program::{Program, version};
use std::path::Path;

/// What the CPU half of libtorch is linked against, as pinned by PyTorch 2.11.0.
pub(crate) const FOR_CPU: [&str; 2] =
    ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// What the CUDA half needs in addition.
const FOR_CUDA: [&str; 13] = [
    "nvidia-cublas==13.1.0.3",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cudnn-cu13==9.19.0.56",
    "nvidia-cufft==12.0.0.61",
    "nvidia-cufile==1.15.1.6",
    "nvidia-curand==10.4.0.35",
    "nvidia-cusolver==12.0.4.66",
    "nvidia-cusparse==12.6.3.3",
    "nvidia-cusparselt-cu13==0.8.0",
    "nvidia-nccl-cu13==2.28.9",
    "nvidia-nvjitlink==13.0.88",
    "nvidia-nvshmem-cu13==3.4.5",
    "nvidia-nvtx==13.0.85",
];

/// The kinds of Linux that the wheels above are built for, newest first.
const PLATFORMS: [&str; 7] = [
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux_2_25",
    "manylinux_2_18",
    "manylinux2014",
    "manylinux2010",
    "manylinux1",
];

const UNPACK: &str = include_str!("unpack.py");

/// Checks that this machine can use the wheels and has the programs to get them.
pub(crate) fn check_machine() -> Result<()> {
    use std::env::consts::{ARCH, OS};
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Err(Error::Platform { os: OS, arch: ARCH });
    }
    check_python()?;
    check_compiler()
}

pub(crate) fn check_python() -> Result<()> {
    if version("python3", &["--version"]).is_none() {
        return Err(Error::Missing {
            what: "python3",
            advice: "install it (Debian, Ubuntu: `sudo apt install python3-pip`; Fedora: `sudo dnf install python3-pip`)",
        });
    }
    if version("python3", &["-m", "pip", "--version"]).is_none() {
        return Err(Error::Missing {
            what: "pip for python3",
            advice: "install it (Debian, Ubuntu: `sudo apt install python3-pip`; Fedora: `sudo dnf install python3-pip`; \
                     elsewhere: `python3 -m ensurepip`)",
        });
    }
    Ok(())
}

pub(crate) fn check_compiler() -> Result<()> {
    match version(&compiler(), &["--version"]) {
        Some(_) => Ok(()),
        None => Err(Error::Missing {
            what: "a C++ compiler (`c++`, or the one that CXX names)",
            advice: "install one (Debian, Ubuntu: `sudo apt install build-essential`; Fedora: `sudo dnf install gcc-c++`)",
        }),
    }
}

pub(crate) fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

/// Downloads the wheels into `folder/wheels` and unpacks them into `folder`: `torch/` and, beside it, `nvidia/`.
pub(crate) fn fetch(cuda: bool, folder: &Path) -> Result<()> {
    let wheels = folder.join("wheels");
    Program::new("python3")
        .args(download(cuda, &wheels))
        .shown_as(&format!("python3 -m pip download --no-deps torch=={VERSION} nvidia-…"))
        .run()
        .map_err(|_| Error::Download)?;
    println!("unpacking into {}", folder.display());
    let which = if cuda { "cuda" } else { "cpu" };
    Program::new("python3")
        .args(["-c", UNPACK])
        .args([wheels.as_os_str(), folder.as_os_str(), which.as_ref()])
        .shown_as("python3 xtask/src/unpack.py …")
        .run()?;
    std::fs::remove_dir_all(&wheels).map_err(Error::io("remove", &wheels))
}

/// The arguments of the download. They name the wheels' platform, so that neither the version of the local Python nor
/// the age of its pip matters.
fn download(cuda: bool, wheels: &Path) -> Vec<String> {
    let fixed = "-m pip download --no-deps --only-binary=:all: --disable-pip-version-check \
                 --implementation cp --python-version 3.12";
    let nvidia = FOR_CPU.iter().chain(if cuda { &FOR_CUDA[..] } else { &[] });
    fixed
        .split_whitespace()
        .map(str::to_owned)
        .chain(PLATFORMS.iter().map(|platform| format!("--platform={platform}_x86_64")))
        .chain(["--dest".to_owned(), wheels.display().to_string(), format!("torch=={VERSION}")])
        .chain(nvidia.map(ToString::to_string))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_set_up_is_part_of_the_full_one() {
        let [small, full] = [false, true].map(|cuda| download(cuda, Path::new("w")));
        assert!(small.iter().all(|argument| full.contains(argument)));
        assert!(small.contains(&"torch==2.11.0".to_owned()));
        assert!(!small.iter().any(|argument| argument.contains("cudnn")));
        assert!(full.iter().any(|argument| argument.contains("cudnn")));
    }
}
