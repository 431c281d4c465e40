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
            .args(["run"])
            .env("LIBTORCH", &libtorch.folder)
            // Kept from run to run, so that libtorch's bindings are built once.
            .env("CARGO_TARGET_DIR", root.join("target/external-consumer"))
            // Information for debuggers would cost a quarter of the time, and nobody debugs this program.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .default_env("OMP_NUM_THREADS", "1")
            .directory(&folder)
            .run()
    });
    let removed = fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder));
    outcome.and(removed)
}

/// Copies the template; the path in its manifest is that of this checkout then.
fn copy(template: &Path, folder: &Path, root: &Path) -> Result<()> {
    let sources = folder.join("src");
    fs::create_dir_all(&sources).map_err(Error::io("create", &sources))?;
    let manifest = template.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(Error::io("read", &manifest))?;
    let text = text.replace("\"../..\"", &format!("{:?}", root.display().to_string()));
    let target = folder.join("Cargo.toml");
    fs::write(&target, text).map_err(Error::io("write", &target))?;
    // With the lock file, the program gets the same versions of everything as the workspace.
    for (from, to) in
        [(template.join("src/main.rs"), "src/main.rs"), (root.join("Cargo.lock"), "Cargo.lock")]
    {
        fs::copy(&from, folder.join(to)).map_err(Error::io("copy", &from))?;
    }
    Ok(())
}
