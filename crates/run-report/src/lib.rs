//! The folder of a training run as one HTML page that needs no network and no other file.
//!
//! A **run folder** has a `log.jsonl`, as `distill-trainer`'s `JsonLines` writes it, in itself or in its subfolders (the
//! *stages* of a run: `teacher/`, `student/`). Everything else is optional: `samples/*.png`, `checkpoints/*/manifest.json`
//! in a stage; `report.json`, `settings.toml` and pictures beside the stages. Runs that are going on, were killed or
//! logged damaged lines are shown as far as they can be read, and the page says what is missing.
//!
//! ```text
//! folder ─► Run (log, pictures, table, texts) ─► view (facts, charts) ─► templates/ ─► HTML
//! ```
//!
//! Files are hostile until proven: their size is bounded, only PNG files become pictures, and the templates escape every
//! text. The page's own policy forbids it to load anything.
//!
//! # Example
//! ```
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("log.jsonl"), r#"{"event":"start","label":"SiD on <shapes>"}"#)?;
//! let page = run_report::Run::read(folder.path())?.html()?;
//! assert!(page.contains("SiD on &#60;shapes&#62;"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod axis;
mod chart;
mod error;
mod files;
mod format;
mod log;
mod picture;
mod run;
mod table;
mod view;

pub use error::{Error, Result};
pub use run::Run;
