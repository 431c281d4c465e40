//! Many cases, one line each.

use crate::{Error, Result, Verdict, checkpoints};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How many cases ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases whose results all count as equal.
    pub ok: usize,
    /// Cases that differ, or could not be read or replayed.
    pub failed: usize,
    /// Cases of unknown families.
    pub skipped: usize,
}

impl Summary {
    /// Whether nothing failed and, if `strict`, nothing was skipped.
    pub fn is_success(self, strict: bool) -> bool {
        self.failed == 0 && (self.skipped == 0 || !strict)
    }
}

/// Every `*.safetensors` file at or below `paths`, and every file of weights with a twin or in an `EXPECT.json`, sorted;
/// links to folders are not followed.
///
/// # Errors
/// [`Error::Io`] for a path that cannot be read, [`Error::NoCases`] if there is no such file.
pub fn find_cases(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let io = |reason| Error::Io { path: path.clone(), reason };
        if fs::metadata(path).map_err(io)?.is_dir() {
            collect(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    if files.is_empty() { Err(Error::NoCases(paths.to_vec())) } else { Ok(files) }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let io = |reason| Error::Io { path: folder.into(), reason };
    files.extend(checkpoints::files(folder)?);
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        if entry.file_type().map_err(io)?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "safetensors")
            && !checkpoints::is_twin_or_listed(&path)
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Replays the files in order and writes one line for each to `report`, then `N ok, M failed, K skipped`.
///
/// # Errors
/// [`Error::Io`] if the report cannot be written. What is wrong with a case is a line of the report.
pub fn run(files: &[PathBuf], report: &mut dyn Write) -> Result<Summary> {
    let io = |reason| Error::Io { path: "the report".into(), reason };
    let mut summary = Summary::default();
    for path in files {
        let verdict = Verdict::of(path);
        match verdict {
            Verdict::Equal(_) | Verdict::Refused(_) => summary.ok += 1,
            Verdict::Different(_) | Verdict::Broken(_) => summary.failed += 1,
            Verdict::Unknown => summary.skipped += 1,
        }
        writeln!(report, "{}", verdict.line(&label(path))).map_err(io)?;
    }
    let Summary { ok, failed, skipped } = summary;
    writeln!(report, "{ok} ok, {failed} failed, {skipped} skipped").map_err(io)?;
    Ok(summary)
}

/// A case is called by its stem; a file of weights by its whole name, since there can be several of one stem.
fn label(path: &Path) -> String {
    let is_case = path.extension().is_some_and(|extension| extension == "safetensors");
    let name = if is_case { path.file_stem() } else { path.file_name() };
    name.unwrap_or_default().to_string_lossy().into()
}
