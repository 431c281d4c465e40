//! `cargo xtask doctor`: what this machine has, what is missing, and what to do about it.

use crate::error::Result;
use crate::libtorch::Libtorch;
use crate::program::{Program, version};
use crate::{setup, wheels, workspace};
use std::env;
use std::fs;

/// Shows the tools and libtorch; if they are complete, builds and runs a program that tries every device.
pub(crate) fn run() -> Result<()> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    show("cargo", version(&cargo, &["--version"]));
    show("rustc", version("rustc", &["--version"]));
    show("C++", version(&wheels::compiler(), &["--version"]));
    show("python3", version("python3", &["--version"]));
    show("pip", version("python3", &["-m", "pip", "--version"]));
    wheels::check_compiler()?;
    let libtorch = libtorch()?;
    show("libtorch", Some(libtorch.to_string()));
    Program::cargo()
        .args(["run", "--release", "--quiet", "--package", "libtorch-ext", "--example", "doctor"])
        .run()
}

/// The libtorch that a build would use.
fn libtorch() -> Result<Libtorch> {
    if let Some(libtorch) = setup::chosen_by_user()? {
        return Ok(libtorch);
    }
    // Python is needed only to get a libtorch.
    let link = workspace::libtorch_link();
    let folder = fs::canonicalize(&link).unwrap_or(link);
    Libtorch::inspect(&folder, "run `cargo xtask setup`")
        .inspect_err(|_| drop(wheels::check_python().inspect_err(|missing| println!("{missing}"))))
}

fn show(name: &str, found: Option<String>) {
    println!("{name:<10} {}", found.as_deref().unwrap_or("not found"));
}
