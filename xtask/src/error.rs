//! What can go wrong, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
pub(crate) enum Error {
    UnknownCommand(String),
    UnknownOption {
        command: String,
        option: String,
    },
    /// An option whose value is missing.
    NoValue {
        option: String,
        value: &'static str,
    },
    /// Options that do not make a command.
    Usage(String),
    /// A process of a launched program that failed.
    Process {
        rank: usize,
        status: String,
        code: u8,
    },
    /// A program that has to be installed first.
    Missing {
        what: &'static str,
        advice: &'static str,
    },
    /// A program that ran and failed; it has said why itself.
    Failed {
        line: String,
        code: u8,
    },
    /// No ready-made libtorch for this kind of machine.
    Platform {
        os: &'static str,
        arch: &'static str,
    },
    /// pip could not get the wheels; it has said why itself.
    Download,
    /// A Python that cannot import the right PyTorch.
    BadPython(PathBuf),
    /// A libtorch that cannot be used.
    BadLibtorch {
        folder: PathBuf,
        reason: String,
        advice: String,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    NoHome,
    /// A file without a line that marks a place in it.
    NoMarker {
        path: PathBuf,
        marker: &'static str,
    },
    /// Something that is no link where the link to libtorch belongs.
    InTheWay(PathBuf),
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The failed program's own exit code, 2 for a misused command line, otherwise 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed { code, .. } | Self::Process { code, .. } => *code,
            Self::UnknownCommand(_)
            | Self::UnknownOption { .. }
            | Self::NoValue { .. }
            | Self::Usage(_) => 2,
            _ => 1,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(command) => {
                write!(f, "unknown command `{command}`; `cargo xtask help` lists the commands")
            }
            Self::UnknownOption { command, option } => {
                write!(f, "`{command}` has no option `{option}`; see `cargo xtask help`")
            }
            Self::NoValue { option, value } => {
                write!(f, "`{option}` needs a value: `{option} {value}`")
            }
            Self::BadPython(path) => write!(
                f,
                "{} does not start or cannot import PyTorch {}; install `torch=={1} safetensors numpy` there, or leave \
                 `--python` out to get a Python of its own for the comparison",
                path.display(),
                crate::libtorch::VERSION
            ),
            Self::Usage(message) => write!(f, "{message}; see `cargo xtask help`"),
            Self::Process { rank, status, .. } => {
                write!(f, "process {rank} ended first, with {status}; the others have ended too")
            }
            Self::Missing { what, advice } => {
                write!(f, "{what} is needed and was not found; {advice}")
            }
            Self::Failed { line, code } => write!(f, "`{line}` failed with exit code {code}"),
            Self::Platform { os, arch } => write!(
                f,
                "there is no ready-made libtorch for {os} on {arch}, only for Linux with glibc on x86_64. Install \
                 libtorch 2.11.0 in another way (`python3 -m pip install torch==2.11.0`, or a build of your own), set \
                 LIBTORCH to the folder that holds its `lib` and `include`, and run the command again"
            ),
            Self::Download => write!(
                f,
                "the download failed, pip says above why. Look at the network, at pip's settings (`python3 -m pip \
                 config list`) and at the free space, then run the command again; or set LIBTORCH to a libtorch 2.11.0 \
                 that you have"
            ),
            Self::BadLibtorch { folder, reason, advice } => {
                write!(f, "the libtorch in {} cannot be used: {reason}; {advice}", folder.display())
            }
            Self::NoHome => write!(
                f,
                "neither HOME nor XDG_CACHE_HOME is set, so there is no place to keep libtorch; set one to an absolute path"
            ),
            Self::NoMarker { path, marker } => write!(
                f,
                "{} has no line `{marker}`, so there is no place for the table; put it back",
                path.display()
            ),
            Self::InTheWay(path) => write!(
                f,
                "{} is not a link, so it is left alone; move it away and run the command again",
                path.display()
            ),
            Self::Io { action, path, source } => write!(f, "{action} {}: {source}", path.display()),
        }
    }
}
