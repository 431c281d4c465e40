//! What is in a run folder.

use crate::log::Log;
use crate::picture::{Picture, Samples};
use crate::table::Table;
use crate::view::Page;
use crate::{Error, Result, files};
use askama::Template;
use std::path::{Path, PathBuf};

const MAX_LOG_BYTES: u64 = 256 << 20;
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Pictures beside the stages that are shown at most.
const MAX_RESULTS: usize = 12;

/// A run, read from its folder.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) folder: PathBuf,
    /// Never empty, in the order in which they started.
    pub(crate) stages: Vec<Stage>,
    pub(crate) table: Option<Table>,
    pub(crate) results: Vec<Picture>,
    pub(crate) settings: Option<String>,
    /// What could not be read or understood.
    pub(crate) complaints: Vec<String>,
}

/// One training within a run.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// The name of its folder; empty for the run folder itself.
    pub(crate) name: String,
    pub(crate) log: Log,
    pub(crate) samples: Samples,
    /// The newest checkpoint's name and manifest.
    pub(crate) manifest: Option<(String, String)>,
}

impl Run {
    /// Reads the run in `folder`.
    ///
    /// What is missing or damaged beside the logs is left out, and the page says so.
    ///
    /// # Errors
    /// - [`Error::NoRun`] if neither the folder nor one in it has a `log.jsonl`.
    /// - [`Error::NoEvents`] if such a log has no event in it.
    /// - [`Error::Read`], [`Error::TooLarge`] if the folder or a log cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        std::fs::read_dir(folder).map_err(|source| Error::Read { path: folder.into(), source })?;
        let mut complaints = Vec::new();
        let candidates = [folder.to_owned()].into_iter().chain(files::entries(folder));
        let with_log = candidates.filter(|path| path.join("log.jsonl").is_file());
        let mut stages = with_log
            .map(|path| Stage::read(&path, path != folder, &mut complaints))
            .collect::<Result<Vec<_>>>()?;
        if stages.is_empty() {
            return Err(Error::NoRun { folder: folder.into() });
        }
        stages.sort_by_key(|stage| stage.log.first().unix_s);
        let mut heard = |result: Result<String, String>| {
            result.map_err(|complaint| complaints.push(complaint)).ok()
        };
        let settings = folder.join("settings.toml");
        let settings = settings
            .is_file()
            .then(|| files::read_text(&settings, MAX_TEXT_BYTES).map_err(|e| e.to_string()))
            .and_then(&mut heard);
        let table = table(&folder.join("report.json"), &mut complaints);
        let results = results(folder, &mut complaints);
        Ok(Self { folder: folder.into(), stages, table, results, settings, complaints })
    }

    /// The page: one HTML document that refers to nothing outside of itself.
    ///
    /// # Errors
    /// [`Error::Page`] if the template fails, which no content of a run makes it do.
    pub fn html(&self) -> Result<String> {
        Ok(Page::of(self).render()?)
    }
}

impl Stage {
    fn read(folder: &Path, is_subfolder: bool, complaints: &mut Vec<String>) -> Result<Self> {
        let path = folder.join("log.jsonl");
        let text = files::read_text(&path, MAX_LOG_BYTES)?;
        let log = Log::parse(&text).map_err(|lines| Error::NoEvents { path, lines })?;
        let samples = Samples::read(&folder.join("samples"));
        let samples = samples.unwrap_or_else(|error| {
            complaints.push(error.to_string());
            Samples::default()
        });
        let name = if is_subfolder { files::name(folder) } else { String::new() };
        Ok(Self { name, log, samples, manifest: manifest(&folder.join("checkpoints")) })
    }
}

/// The manifest of the newest checkpoint, by the order of the names.
fn manifest(folder: &Path) -> Option<(String, String)> {
    let mut checkpoints = files::entries(folder).into_iter().rev();
    checkpoints.find_map(|path| {
        let text = files::read_text(&path.join("manifest.json"), MAX_TEXT_BYTES).ok()?;
        Some((files::name(&path), text))
    })
}

fn table(path: &Path, complaints: &mut Vec<String>) -> Option<Table> {
    if !path.is_file() {
        return None;
    }
    let json = files::read(path, MAX_TEXT_BYTES).map_err(|error| error.to_string());
    let table = json.and_then(|json| Table::parse(&json));
    let complain = |reason| complaints.push(format!("report.json is not shown: {reason}"));
    table.map_err(complain).ok()
}

/// The pictures beside the stages: the real ones, what others make of them, the student's.
fn results(folder: &Path, complaints: &mut Vec<String>) -> Vec<Picture> {
    let rank = |name: &str| match name {
        "real" => 0,
        "teacher" => 1,
        "student" => 3,
        "comparison" => 4,
        _ => 2,
    };
    let stem = |path: &PathBuf| Some(files::name(path).strip_suffix(".png")?.to_owned());
    let paths = files::entries(folder).into_iter();
    let mut named: Vec<_> = paths.filter_map(|path| Some((stem(&path)?, path))).collect();
    named.sort_by_key(|(name, _)| rank(name));
    let pictures = named.into_iter().take(MAX_RESULTS).filter_map(|(name, path)| {
        Picture::read(&path, name.replace('_', " ")).unwrap_or_else(|error| {
            complaints.push(error.to_string());
            None
        })
    });
    pictures.collect()
}
