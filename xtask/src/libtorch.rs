//! A libtorch on disk: is it whole, and is it the right version?

use crate::error::{Error, Result};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The version that `tch` 0.24 is made for.
pub(crate) const VERSION: &str = "2.11.0";

/// A libtorch that was looked at and is whole and of the right version.
#[derive(Debug)]
pub(crate) struct Libtorch {
    /// The folder with `lib` and `include`.
    pub(crate) folder: PathBuf,
    /// Whether it has the CUDA half.
    pub(crate) cuda: bool,
}

impl Libtorch {
    /// Looks at what lies in `folder`; `advice` is what to do if it is no good.
    pub(crate) fn inspect(folder: &Path, advice: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadLibtorch {
            folder: folder.to_owned(),
            reason,
            advice: advice.to_owned(),
        };
        if !folder.is_dir() {
            return Err(bad("there is no such folder".to_owned()));
        }
        let library =
            |name: &str| folder.join("lib").join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"));
        for needed in [library("torch_cpu"), library("c10"), folder.join("include/ATen/ATen.h")] {
            if !needed.is_file() {
                return Err(bad(format!("{} is missing", needed.display())));
            }
        }
        let header = fs::read_to_string(folder.join("include/torch/headeronly/version.h"));
        match header.ok().as_deref().and_then(version_in) {
            Some(VERSION) => {
                Ok(Self { folder: folder.to_owned(), cuda: library("torch_cuda").is_file() })
            }
            Some(other) => Err(bad(format!("it is version {other}, and {VERSION} is needed"))),
            None => Err(bad(format!("its headers are not those of version {VERSION}"))),
        }
    }
}

impl fmt::Display for Libtorch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.cuda { "CPU and CUDA" } else { "CPU only" };
        write!(f, "libtorch {VERSION} ({kind}) in {}", self.folder.display())
    }
}

/// The quoted version of `#define TORCH_VERSION \ "2.11.0"`.
fn version_in(header: &str) -> Option<&str> {
    header.split_once("#define TORCH_VERSION \\")?.1.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_header() {
        let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \\\n  \"2.11.0\"\n";
        assert_eq!(version_in(header), Some("2.11.0"));
        assert_eq!(version_in("#define SOMETHING 1"), None);
    }

    #[test]
    fn no_folder_and_a_wrong_folder_are_refused_with_the_advice() {
        for (folder, reason) in [("/nonexistent", "no such folder"), ("/", "libtorch_cpu")] {
            let error =
                Libtorch::inspect(Path::new(folder), "get another").unwrap_err().to_string();
            assert!(error.contains(reason) && error.ends_with("get another"), "{error}");
        }
    }
}
