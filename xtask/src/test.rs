//! `cargo xtask test`: every test of the workspace.

use crate::error::Result;
use crate::program::{Program, has_cargo_command};
use crate::setup;

/// Sets up, then runs unit, integration and example tests, then the examples in the documentation.
pub(crate) fn run(cuda: bool) -> Result<()> {
    setup::run(cuda)?;
    let programs: &[&str] = if has_cargo_command("nextest") {
        &["nextest", "run", "--workspace"]
    } else {
        &["test", "--workspace", "--lib", "--bins", "--tests", "--examples"]
    };
    cargo(programs)?;
    cargo(&["test", "--workspace", "--doc"])
}

/// Tests run side by side; libtorch must not start a thread per core in each of them.
fn cargo(arguments: &[&str]) -> Result<()> {
    Program::cargo().args(arguments).default_env("OMP_NUM_THREADS", "1").run()
}
