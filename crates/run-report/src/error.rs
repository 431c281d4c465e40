//! What can go wrong.

use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder without a log.
    #[error(
        "{} holds no run: neither it nor a folder in it has a log.jsonl; name the folder that was the run's --out",
        .folder.display()
    )]
    NoRun {
        /// The folder.
        folder: PathBuf,
    },
    /// A log without one event that can be read.
    #[error("{} is no log of a run: none of its {lines} lines is an event", .path.display())]
    NoEvents {
        /// The log.
        path: PathBuf,
        /// How many lines it has.
        lines: usize,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file that is too large to be what its name says.
    #[error("{} has {bytes} bytes; at most {limit} are read", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A page that could not be put together.
    #[error("cannot write the page: {0}")]
    Page(#[from] askama::Error),
}
