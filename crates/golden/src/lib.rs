//! Replays reference cases of the official implementations over the workspace.
//!
//! A case is one safetensors file: inputs `in.*`, recorded draws `draw.*`, results `out.*`, and a configuration in its
//! metadata. Its file name begins with the stem of a family of cases; [`REPLAYERS`] says which function computes that
//! family's results with this workspace's crates. Nothing is known about particular files: whatever configuration a
//! file states is what is computed, so new files of a known family replay as they are.
//!
//! Files of weights are cases, too: one with a twin `*.expected.safetensors` must read as the twin bit for bit, one in the
//! `EXPECT.json` of its folder must have the outcome that stands there.
//!
//! To add a family, write one file under `replay/` and add one line to [`REPLAYERS`].
//!
//! # Example
//! ```no_run
//! let files = golden::find_cases(&["tests/golden".into()])?;
//! let summary = golden::run(&files, &mut std::io::stdout())?;
//! assert!(summary.is_success(false));
//! # Ok::<(), golden::Error>(())
//! ```
#![forbid(unsafe_code)]

mod checkpoints;
mod comparison;
mod error;
mod replay;
mod runner;
mod verdict;

pub use comparison::{Comparison, Tolerance};
pub use error::{Error, Result};
pub use replay::{REPLAYERS, Replay, Replayed, replayer};
pub use runner::{Summary, find_cases, run};
pub use verdict::Verdict;
