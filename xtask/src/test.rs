//! `cargo xtask test`: every test of the workspace.

use crate::error::Result;
use crate::program::Program;
use crate::{external_consumer, setup};

/// Sets up, then runs all tests, the examples in the documentation, and a program outside the workspace.
pub(crate) fn run(cuda: bool) -> Result<()> {
    setup::run(cuda)?;
    // Not nextest: it starts a process for every test, and each would load libtorch anew.
    Program::cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        // Tests run side by side; libtorch must not start a thread per core in each of them.
        .default_env("OMP_NUM_THREADS", "1")
        .run()?;
    external_consumer::run()
}
