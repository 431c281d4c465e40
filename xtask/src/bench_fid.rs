//! `cargo xtask bench-fid`: fewstep's FID beside the programs whose numbers it repeats.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::{cache, pytorch, setup};
use std::path::{Path, PathBuf};

/// What is compared, and what it needs beside PyTorch.
const PACKAGES: [&str; 6] = [
    "pytorch-fid==0.3.0",
    "torch-fidelity==0.4.0",
    "torchvision==0.26.0",
    "pillow==13.0.0",
    "scipy==1.17.1",
    "tqdm==4.70.1",
];

/// The example that users run.
const EXAMPLE: &str = "07_evaluate";

/// Prepares all sides, then runs `benches/fid` with the caller's options.
pub(crate) fn run(options: &[String]) -> Result<()> {
    setup::run(false)?;
    let python = pytorch::python(None)?.display().to_string();
    let packages = packages(&python)?;
    Program::cargo().args(["build", "--release", "--example", EXAMPLE]).run()?;
    let root = crate::workspace::root();
    let folders = [root.join("benches"), packages];
    let path = std::env::join_paths(folders).map_err(|_| Error::Download)?;
    Program::new(&python)
        .args(["-m", "fid", "--evaluate", &binary(&root).display().to_string()])
        .args(options)
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()
}

fn binary(root: &Path) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root.join(target).join("release/examples").join(EXAMPLE)
}

/// The folder that holds the packages, filled if need be.
fn packages(python: &str) -> Result<PathBuf> {
    let place = cache::folder()?.join("fid-programs-1");
    let is_whole = |folder: &Path| folder.join("torch_fidelity").is_dir();
    if !is_whole(&place) {
        let install = |folder: &Path| {
            Program::new(python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                ])
                .args(["--target".as_ref(), folder.as_os_str()])
                .args(PACKAGES)
                .run()
                .map_err(|_| Error::Download)
        };
        cache::fill(&place, is_whole, install)?;
    }
    Ok(place)
}
