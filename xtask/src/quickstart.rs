//! `cargo xtask quickstart`: from nothing to pictures.

use crate::error::Result;
use crate::program::Program;
use crate::setup;

/// Sets up, then runs the first example with the caller's arguments.
pub(crate) fn run(options: &[String]) -> Result<()> {
    let cuda = options.first().is_some_and(|option| option == "--cuda");
    let arguments = &options[usize::from(cuda)..];
    setup::run(cuda)?;
    Program::cargo()
        .args(["run", "--release", "--example", "01_quickstart", "--"])
        .args(arguments)
        .run()
}
