//! A log for programs.

use crate::{Error, Flow, Observer, Outcome, Progress, Result, RunInfo, Tick};
use diffusion_core::Generator;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the keys of a log. It grows when a key goes or means something else, not when one is added.
const FORMAT: u32 = 1;

/// Writes one JSON object per line: `{"event":"start",…}`, `{"event":"tick",…}`, `{"event":"end",…}`.
///
/// | event | keys |
/// |---|---|
/// | `start` | `format` (1: the version of this table), `unix_s` (seconds since 1970), and the fields of [`RunInfo`] |
/// | `tick` | the fields of [`Tick`]; `memory` has only the keys that could be measured |
/// | `notice` | `text`: a word about the run, such as a slow disk |
/// | `end` | `outcome` (`finished`, `stopped`, `interrupted` or `failed`), `unix_s` and, if it failed, `error` |
///
/// A value that is not finite is `null`. Readers should ignore keys that they do not know. Every line is written at
/// once, so that the file can be followed while the run goes on.
///
/// A resumed run continues its file; lines that lie beyond the checkpoint it resumes from are removed, so that no
/// image count appears twice. A run that starts from zero empties the file.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

/// A line as it is written.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Start(Start<'a>),
    Tick(&'a Tick),
    Notice(Notice<'a>),
    End(End<'a>),
}

#[derive(Serialize)]
struct Notice<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Start<'a> {
    format: u32,
    unix_s: u64,
    #[serde(flatten)]
    run: &'a RunInfo,
}

#[derive(Serialize)]
struct End<'a> {
    outcome: &'static str,
    unix_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// What of a line decides whether it outlives a resume.
#[derive(Deserialize)]
struct Written {
    progress: Option<Progress>,
}

impl JsonLines {
    /// Logs to the file at `path`, which may exist; folders above it are created.
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder cannot be created, [`Error::Core`] if the file cannot be written.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .map_err(|source| Error::Folder { path: folder.into(), source })?;
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| cannot_write(&path, source))?;
        Ok(Self { path, file })
    }

    fn write(&mut self, line: &Line<'_>) -> Result<()> {
        let json = serde_json::to_string(line).expect("keys are strings") + "\n";
        let written = self.file.write_all(json.as_bytes());
        written.map_err(|source| cannot_write(&self.path, source))
    }

    /// Keeps the lines up to `progress` and continues after them.
    fn rewind(&mut self, progress: Progress) -> io::Result<()> {
        let anew = progress == Progress::default();
        let length = if anew { 0 } else { kept(&fs::read(&self.path)?, progress) };
        self.file.set_len(length as u64)?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

impl Observer for JsonLines {
    fn on_start(&mut self, run: &RunInfo) -> Result<()> {
        self.rewind(run.progress).map_err(|source| cannot_write(&self.path, source))?;
        self.write(&Line::Start(Start { format: FORMAT, unix_s: unix_s(), run }))
    }

    fn on_tick(&mut self, tick: &Tick, _student: &dyn Generator) -> Result<Flow> {
        self.write(&Line::Tick(tick))?;
        Ok(Flow::Continue)
    }

    /// A line that cannot be written is left out: the next tick will fail for the same reason.
    fn on_notice(&mut self, text: &str) {
        let _ = self.write(&Line::Notice(Notice { text }));
    }

    fn on_end(&mut self, outcome: &Outcome) -> Result<()> {
        self.write(&Line::End(end(outcome)))
    }
}

fn end(outcome: &Outcome) -> End<'_> {
    let (outcome, error) = match outcome {
        Outcome::Finished => ("finished", None),
        Outcome::Stopped => ("stopped", None),
        Outcome::Interrupted => ("interrupted", None),
        Outcome::Failed(error) => ("failed", Some(error.as_str())),
    };
    End { outcome, unix_s: unix_s(), error }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How many bytes to keep: the whole lines before the first one that is cut off or lies beyond `progress`.
fn kept(log: &[u8], progress: Progress) -> usize {
    let stays = |line: &&[u8]| {
        line.ends_with(b"\n")
            && serde_json::from_slice::<Written>(line)
                .is_ok_and(|w| w.progress.is_none_or(|p| p.images <= progress.images))
    };
    log.split_inclusive(|byte| *byte == b'\n').take_while(stays).map(<[u8]>::len).sum()
}

fn cannot_write(path: &Path, source: io::Error) -> Error {
    diffusion_core::Error::Io { action: "cannot write", path: path.into(), reason: source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::fixture::{Gray, run, tick};
    use serde_json::{Value, json};

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn images(path: &Path) -> Vec<Value> {
        lines(path).into_iter().map(|line| line["progress"]["images"].clone()).collect()
    }

    /// Ticks at 1000, 2000 and 3000 images.
    fn log(path: &Path) {
        let mut log = JsonLines::create(path).unwrap();
        log.on_start(&run(0)).unwrap();
        for kimg in 1..=3 {
            log.on_tick(&tick(kimg * 1000, &[("loss", 0.5), ("bad", f64::NAN)]), &Gray).unwrap();
        }
    }

    #[test]
    fn every_event_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/log.jsonl");
        log(&path);
        let mut log = JsonLines::create(&path).unwrap();
        log.on_start(&run(3000)).unwrap();
        log.on_notice("the disk is slow");
        log.on_end(&Outcome::Failed("the disk is full".into())).unwrap();
        let lines = lines(&path);
        assert_eq!(lines[0]["event"], "start");
        assert_eq!(lines[0]["format"], 1);
        assert!(lines[0]["unix_s"].as_u64() > Some(1_700_000_000));
        assert_eq!(lines[0]["label"], "toy");
        assert_eq!(lines[0]["method"], "toy-method");
        assert_eq!(lines[1]["event"], "tick");
        assert_eq!(lines[1]["terms"], json!({ "loss": 0.5, "bad": null }));
        assert_eq!(lines[1]["grad_norm"], json!({ "student": 0.25 }));
        assert_eq!(lines[1]["learning_rate"], json!({ "student": 1e-3 }));
        assert_eq!(lines[1]["images_per_s"], 500.0);
        assert_eq!(lines[1]["memory"], json!({ "rss": 3u64 << 30, "rss_peak": 4u64 << 30 }));
        assert_eq!(lines[1]["non_finite"], 0);
        assert_eq!(lines[5], json!({ "event": "notice", "text": "the disk is slow" }));
        let unix_s = &lines[6]["unix_s"];
        let end = json!({ "event": "end", "outcome": "failed", "unix_s": unix_s, "error": "the disk is full" });
        assert_eq!(lines[6], end);
    }

    #[test]
    fn a_resume_removes_what_lies_beyond_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        log(&path);
        JsonLines::create(&path).unwrap().on_start(&run(2000)).unwrap();
        assert_eq!(images(&path), [0, 1000, 2000, 2000]); // the last one is the new start
    }

    #[test]
    fn a_line_that_was_cut_off_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        log(&path);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        JsonLines::create(&path).unwrap().on_start(&run(9000)).unwrap();
        assert_eq!(images(&path), [0, 1000, 2000, 9000]);
    }

    #[test]
    fn a_new_run_empties_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        log(&path);
        JsonLines::create(&path).unwrap().on_start(&run(0)).unwrap();
        assert_eq!(images(&path), [0]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = JsonLines::create(file.path().join("log.jsonl")).unwrap_err();
        assert!(matches!(&error, Error::Folder { path, .. } if path == file.path()));
    }
}
