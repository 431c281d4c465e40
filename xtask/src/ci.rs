//! `cargo xtask ci`: everything that is checked beside the tests.

use crate::error::Result;
use crate::program::{Program, has_cargo_command, version};

/// Runs all checks, cheapest first; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    Program::cargo().args(["fmt", "--all", "--check"]).run()?;
    spelling()?;
    Program::cargo()
        .args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        .run()?;
    Program::cargo()
        .args(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    licenses()
}

fn spelling() -> Result<()> {
    if version("typos", &["--version"]).is_none() {
        println!("skipped: typos is not installed (`cargo install typos-cli --locked`)");
        return Ok(());
    }
    Program::new("typos").directory(&crate::workspace::root()).run()
}

fn licenses() -> Result<()> {
    if !has_cargo_command("deny") {
        println!("skipped: cargo-deny is not installed (`cargo install cargo-deny --locked`)");
        return Ok(());
    }
    Program::cargo().args(["deny", "check"]).run()
}
