//! `cargo xtask external-consumer`: fewstep as a dependency of somebody else's program.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::{setup, workspace};
use std::env;
use std::fs;
use std::path::Path;
use std::process;

/// Copies `tests/external-consumer` to a folder outside of the workspace, points it at this checkout, and runs it.
///
/// What it proves: a program elsewhere, with neither our `.cargo/config.toml` nor our profile settings, builds against
/// the facade and finds libtorch when cargo starts it. All it is given is `LIBTORCH`.
pub(crate) fn run() -> Result<()> {
    let libtorch = setup::run(false)?;
    let root = workspace::root();
    let template = root.join("tests/external-consumer");
    let folder = env::temp_dir().join(format!("fewstep-external-consumer-{}", process::id()));
    let outcome = copy(&template, &folder, &root).and_then(|()| {
        Program::cargo()
            .args(["run", "--release"])
            .env("LIBTORCH", &libtorch.folder)
            // Kept from run to run, so that libtorch's bindings are built once.
            .env("CARGO_TARGET_DIR", root.join("target/external-consumer"))
            .default_env("OMP_NUM_THREADS", "1")
            .directory(&folder)
            .run()
    });
    let removed = fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder));
    outcome.and(removed)
}

/// Copies the template; in its manifest, `FEWSTEP` becomes the path of this checkout.
fn copy(template: &Path, folder: &Path, root: &Path) -> Result<()> {
    let sources = folder.join("src");
    fs::create_dir_all(&sources).map_err(Error::io("create", &sources))?;
    let manifest = template.join("Cargo.toml.in");
    let text = fs::read_to_string(&manifest).map_err(Error::io("read", &manifest))?;
    let target = folder.join("Cargo.toml");
    fs::write(&target, text.replace("FEWSTEP", &root.display().to_string()))
        .map_err(Error::io("write", &target))?;
    for file in ["src/main.rs"] {
        fs::copy(template.join(file), folder.join(file))
            .map_err(Error::io("copy", &template.join(file)))?;
    }
    // The same versions of everything as here.
    let lock = root.join("Cargo.lock");
    fs::copy(&lock, folder.join("Cargo.lock")).map_err(Error::io("copy", &lock))?;
    Ok(())
}
