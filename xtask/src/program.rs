//! Running other programs, and saying so.

use crate::error::{Error, Result};
use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// A program with its arguments, and the line that shows it to the reader.
pub(crate) struct Program {
    command: Command,
    line: String,
}

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        Self { command: Command::new(name), line: name.to_owned() }
    }

    /// The cargo that runs this program, in the workspace's root.
    pub(crate) fn cargo() -> Self {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(crate::workspace::root());
        Self { command, line: "cargo".to_owned() }
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        for argument in arguments {
            let argument = argument.as_ref();
            self.line.push(' ');
            self.line.push_str(&quoted(&argument.to_string_lossy()));
            self.command.arg(argument);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref();
        self.line = format!("{name}={} {}", quoted(&value.to_string_lossy()), self.line);
        self.command.env(name, value);
        self
    }

    /// Sets a variable unless the caller's environment already has it.
    pub(crate) fn default_env(self, name: &str, value: &str) -> Self {
        if env::var_os(name).is_some() { self } else { self.env(name, value) }
    }

    pub(crate) fn directory(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Shows this line instead, where the arguments themselves would be unreadable.
    pub(crate) fn shown_as(mut self, line: &str) -> Self {
        line.clone_into(&mut self.line);
        self
    }

    /// Shows the line, runs the program, and fails as it fails.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.line);
        let status = self
            .command
            .status()
            .map_err(Error::io("start", Path::new(self.command.get_program())))?;
        self.check(status)
    }

    /// Shows the line, runs the program, and returns what it prints on standard output; fails as it fails.
    pub(crate) fn printed(mut self) -> Result<String> {
        println!("$ {}", self.line);
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .map_err(Error::io("start", Path::new(self.command.get_program())))?;
        self.check(output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn check(self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        // A program that a signal ended has no code; shells report 128 + signal, here any code but 0 will do.
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        Err(Error::Failed { line: self.line, code })
    }

    /// What the program prints on standard output, silently; `None` if it is absent or fails.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The first line of what `name arguments…` prints, if the program is there.
pub(crate) fn version(name: &str, arguments: &[&str]) -> Option<String> {
    Some(Program::new(name).args(arguments).output()?.lines().next().unwrap_or_default().to_owned())
}

/// Whether `cargo name` is installed.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    Program::cargo().args([name, "--version"]).output().is_some()
}

/// The argument as it would be typed in a shell.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+%@".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_line_can_be_pasted_into_a_shell() {
        let program = Program::new("echo").args(["a b", "it's", "--x=1"]).env("N", "-D warnings");
        assert_eq!(program.line, r"N='-D warnings' echo 'a b' 'it'\''s' --x=1");
    }

    #[test]
    fn an_exit_code_is_passed_on() {
        let error = Program::new("sh").args(["-c", "exit 7"]).run().unwrap_err();
        assert!(matches!(error, Error::Failed { code: 7, .. }));
    }

    #[test]
    fn what_a_program_prints_is_returned_only_if_it_succeeds() {
        let shell = |script| Program::new("sh").args(["-c", script]).printed();
        assert_eq!(shell("echo table").unwrap(), "table\n");
        assert!(matches!(shell("echo half; exit 3"), Err(Error::Failed { code: 3, .. })));
    }

    #[test]
    fn an_absent_program_has_no_version() {
        assert_eq!(version("no-such-program-here", &["--version"]), None);
    }
}
