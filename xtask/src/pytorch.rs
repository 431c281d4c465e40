//! A Python with PyTorch, to compare with: in the user's cache folder, apart from any other Python.
//!
//! The PyTorch of PyPI is linked against 2 GB of NVIDIA's libraries, which a program on the CPU never calls. They are
//! left out; small stand-ins satisfy the loader (`cuda_stubs.py`).

use crate::error::{Error, Result};
use crate::libtorch::VERSION;
use crate::program::Program;
use crate::{cache, wheels};
use std::path::{Path, PathBuf};

/// What `torch` needs beside NVIDIA's libraries, and the reader of weight files.
const BESIDE: [&str; 9] = [
    "filelock",
    "fsspec",
    "jinja2",
    "networkx",
    "numpy",
    "safetensors",
    "setuptools",
    "sympy",
    "typing-extensions",
];

const CUDA_STUBS: &str = include_str!("cuda_stubs.py");

/// Prints where PyTorch is, and first its version.
const FIND: &str =
    "import os, torch; print(torch.__version__); print(os.path.dirname(torch.__file__))";

/// The Python that the caller names, or the one in the cache, made if there is none.
pub(crate) fn python(named: Option<&str>) -> Result<PathBuf> {
    if let Some(named) = named {
        let python = PathBuf::from(named);
        return if is_usable(&python) { Ok(python) } else { Err(Error::BadPython(python)) };
    }
    let place = cache::folder()?.join(format!("pytorch-{VERSION}-cpu"));
    if !is_whole(&place) {
        wheels::check_machine()?;
        check_binutils()?;
        println!(
            "getting PyTorch {VERSION} for the CPU (about 0.6 GB to download, 1.4 GB on disk), once for all checkouts, \
             into {}",
            place.display()
        );
        cache::fill(&place, is_whole, make)?;
    }
    Ok(interpreter(&place))
}

fn interpreter(place: &Path) -> PathBuf {
    place.join("bin/python")
}

fn is_whole(place: &Path) -> bool {
    is_usable(&interpreter(place))
}

/// Whether that Python can import the right PyTorch.
fn is_usable(python: &Path) -> bool {
    let found = Program::new(&python.to_string_lossy()).args(["-c", FIND]).output();
    found.is_some_and(|text| is_version(&text))
}

/// `2.11.0`, or with the kind of build: `2.11.0+cpu`.
fn is_version(printed: &str) -> bool {
    let version = printed.lines().next().unwrap_or_default();
    version.split('+').next() == Some(VERSION)
}

fn make(folder: &Path) -> Result<()> {
    Program::new("python3").args(["-m", "venv"]).args([folder]).run().map_err(|_| {
        Error::Missing {
            what: "python3's module venv with pip",
            advice: "install it (Debian, Ubuntu: `sudo apt install python3-venv`)",
        }
    })?;
    let python = interpreter(folder);
    let install = |options: &[&str], packages: &[&str]| {
        Program::new(&python.to_string_lossy())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(options)
            .args(packages)
            .run()
            .map_err(|_| Error::Download)
    };
    install(&[], &BESIDE)?;
    let torch = format!("torch=={VERSION}");
    install(&["--no-deps"], &[&[torch.as_str()], &wheels::FOR_CPU[..]].concat())?;
    Program::new(&python.to_string_lossy())
        .args(["-c", CUDA_STUBS])
        .args([wheels::compiler()])
        .shown_as("python3 xtask/src/cuda_stubs.py …")
        .run()
}

fn check_binutils() -> Result<()> {
    match crate::program::version("nm", &["--version"]) {
        Some(_) => Ok(()),
        None => Err(Error::Missing {
            what: "nm",
            advice: "install it (Debian, Ubuntu: `sudo apt install binutils`)",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_build_of_the_version_will_do_and_no_other_version() {
        assert!(is_version("2.11.0+cu130\n/site-packages/torch"));
        assert!(is_version("2.11.0\n/site-packages/torch"));
        assert!(!is_version("2.11.1\n/site-packages/torch"));
        assert!(!is_version(""));
    }

    #[test]
    fn a_python_without_pytorch_is_refused_by_its_path() {
        let error = python(Some("/no/such/python")).unwrap_err();
        assert!(error.to_string().contains("/no/such/python"), "{error}");
    }
}
