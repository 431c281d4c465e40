//! A log for TensorBoard.

mod event;
mod record;

use super::SampleGrid;
use crate::{Error, Flow, Observer, Progress, Result, RunInfo, Tick};
use diffusion_core::{Error as CoreError, Generator, State};
use event::{Event, Value};
use image::ImageReader;
use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes event files for `tensorboard --logdir`: [every number](Tick::scalars) of a tick as a scalar, the sample grid as
/// an image, label, method and configuration as a text.
///
/// The step of an event is the number of **images** seen, so that runs of different batch sizes can be compared.
///
/// Every start and every resume opens a new file `events.out.tfevents.<unix seconds>.fewstep.<n>` in the folder and
/// leaves the older ones as they are. It begins with a session start (elsewhere called `purge_step`) that tells readers
/// to drop what older files say about later steps, so that a resume goes on where its checkpoint was, and a run that
/// starts from zero replaces the one before. TensorBoard's event accumulators obey it; its default loader only drops
/// steps from the first new tick on, and may show one more point of the abandoned course before it.
///
/// Scalars are `f32`, as TensorBoard has them; values that are not finite are written as such.
///
/// # Example
/// ```
/// use diffusion_core::Noise;
/// use distill_trainer::observer::{SampleGrid, TensorBoard};
/// let grid = SampleGrid::new("runs/digits/samples", [1, 28, 28], [8, 10], &Noise::new(0)).every(5);
/// let log = TensorBoard::new("runs/digits/tensorboard").with_samples(grid);
/// ```
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    samples: Option<SampleGrid>,
    file: Option<(PathBuf, File)>,
}

impl TensorBoard {
    /// Writes into `folder`; it and the folders above it are created when the run starts.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), samples: None, file: None }
    }

    /// Takes over a grid: it draws its files as it would by itself, and its pictures become events. The run needs no
    /// other observer for it.
    #[must_use]
    pub fn with_samples(self, grid: SampleGrid) -> Self {
        Self { samples: Some(grid), ..self }
    }

    /// Begins a new file.
    fn open(&mut self) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .map_err(|source| Error::Folder { path: self.folder.clone(), source })?;
        self.file = Some(create(&self.folder)?);
        self.write(&Event::version(wall_time()))
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        file.write_all(&record::encode(event)).map_err(|source| cannot_write(path, source))
    }
}

impl Observer for TensorBoard {
    fn on_start(&mut self, run: &RunInfo) -> Result<()> {
        if let Some(grid) = &mut self.samples {
            grid.on_start(run)?;
        }
        self.open()?;
        let (now, step) = (wall_time(), step(run.progress));
        let purge = if step == 0 { 0 } else { step + 1 };
        self.write(&Event::purge(now, purge))?;
        self.write(&Event::summary(now, step, vec![Value::text("run", description(run))]))
    }

    fn on_tick(&mut self, tick: &Tick, student: &dyn Generator) -> Result<Flow> {
        let scalars = tick.scalars().into_iter();
        let mut values: Vec<_> = scalars.map(|(tag, value)| Value::scalar(tag, value)).collect();
        if let Some(grid) = &mut self.samples
            && let Some(png) = grid.draw_if_due(tick, student)?
        {
            let size = size(&png)
                .map_err(|reason| Error::Picture { path: self.folder.clone(), reason })?;
            values.push(Value::png("samples", size, png));
        }
        self.write(&Event::summary(wall_time(), step(tick.progress), values))?;
        Ok(Flow::Continue)
    }

    fn state(&self) -> State {
        self.samples.as_ref().map(SampleGrid::state).unwrap_or_default()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.samples.as_mut().map_or(Ok(()), |grid| grid.restore(state))
    }
}

/// A file that was not there before, named so that a later one sorts behind it.
fn create(folder: &Path) -> Result<(PathBuf, File)> {
    let seconds = wall_time() as u64;
    for n in 0.. {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.fewstep.{n:03}"));
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => {
                let file = file.map_err(|source| cannot_write(&path, source))?;
                return Ok((path, file));
            }
        }
    }
    unreachable!("the numbers do not end")
}

/// What is being run, in Markdown.
fn description(run: &RunInfo) -> String {
    let RunInfo { label, method, options, device, batch, config, .. } = run;
    let json = |value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (options, config) = (json(options), json(config));
    format!(
        "{label}: method `{method}` on `{device}`, {batch} images a step\n\n\
         Options\n\n```json\n{options}\n```\n\nConfiguration\n\n```json\n{config}\n```\n"
    )
}

fn step(progress: Progress) -> i64 {
    i64::try_from(progress.images).unwrap_or(i64::MAX)
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Width and height of a picture.
fn size(png: &[u8]) -> Result<[u32; 2], String> {
    let reader = ImageReader::new(Cursor::new(png)).with_guessed_format();
    let reader = reader.map_err(|error| error.to_string())?;
    reader.into_dimensions().map(<[u32; 2]>::from).map_err(|error| error.to_string())
}

fn cannot_write(path: &Path, source: io::Error) -> Error {
    CoreError::Io { action: "cannot write", path: path.into(), reason: source }.into()
}

#[cfg(test)]
mod tests {
    use super::event::SessionLog;
    use super::*;
    use crate::observer::fixture::{Gray, run, tick};
    use diffusion_core::Noise;

    fn grid(folder: &Path) -> SampleGrid {
        SampleGrid::new(folder.join("samples"), [1, 8, 8], [1, 2], &Noise::new(0)).every(2)
    }

    /// The events of every file, in the order of the names.
    fn read(folder: &Path) -> Vec<Vec<Event>> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = entries.collect();
        paths.sort();
        paths.iter().map(|path| record::decode(&fs::read(path).unwrap())).collect()
    }

    fn values(event: &Event) -> &[Value] {
        event.summary.as_ref().map_or(&[], |summary| &summary.value)
    }

    #[test]
    fn a_run_is_scalars_pictures_and_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/tensorboard");
        let mut log = TensorBoard::new(&path).with_samples(grid(folder.path()));
        log.on_start(&run(0)).unwrap();
        for images in [1000, 2000] {
            let tick = tick(images, &[("fake/loss", 0.5), ("fake/bad", f64::NAN)]);
            log.on_tick(&tick, &Gray).unwrap();
        }
        let [events] = &read(&path)[..] else { panic!("one file") };
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        let text = &values(&events[2])[0].tensor.as_ref().unwrap().string_val[0];
        let text = str::from_utf8(text).unwrap();
        for part in ["toy: method `toy-method` on `cpu`", "\"alpha\": 1.0", "\"seed\": 1"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(events[3..].iter().map(|event| event.step).collect::<Vec<_>>(), [1000, 2000]);
        let scalar = |event, tag| {
            values(event).iter().find(|value| value.tag == tag).and_then(|value| value.simple_value)
        };
        assert_eq!(scalar(&events[4], "fake/loss"), Some(0.5));
        assert_eq!(scalar(&events[4], "grad_norm/student"), Some(0.25));
        assert_eq!(scalar(&events[4], "speed/images_per_s"), Some(500.0));
        assert!(scalar(&events[4], "fake/bad").unwrap().is_nan());
        let picture = |event| values(event).iter().find_map(|value| value.image.clone());
        let drawn = picture(&events[3]).expect("the first tick is drawn");
        let file = fs::read(folder.path().join("samples/fake_000001.png")).unwrap();
        assert_eq!((drawn.width, drawn.height), (2 + 2 * (256 + 2), 2 + 256 + 2));
        assert_eq!(drawn.encoded_image_string, file);
        assert_eq!(picture(&events[4]), None); // only every second tick
    }

    #[test]
    fn a_resume_opens_a_file_that_hides_later_steps() {
        let folder = tempfile::tempdir().unwrap();
        for (start, images) in [(0, 3000), (2000, 4000), (0, 1000)] {
            let mut log = TensorBoard::new(folder.path());
            log.on_start(&run(start)).unwrap();
            log.on_tick(&tick(images, &[]), &Gray).unwrap();
        }
        let purged: Vec<_> = read(folder.path()).iter().map(|events| events[1].clone()).collect();
        let start = Some(SessionLog { status: SessionLog::START });
        assert!(purged.iter().all(|event| event.session_log == start));
        assert_eq!(purged.iter().map(|event| event.step).collect::<Vec<_>>(), [0, 2001, 0]);
    }

    #[test]
    fn the_grid_keeps_its_rhythm() {
        let folder = tempfile::tempdir().unwrap();
        let log = || TensorBoard::new(folder.path().join("tb")).with_samples(grid(folder.path()));
        let mut first = log();
        first.on_start(&run(0)).unwrap();
        first.on_tick(&tick(1000, &[]), &Gray).unwrap();
        let mut resumed = log();
        resumed.restore(&first.state()).unwrap();
        resumed.on_tick(&tick(2000, &[]), &Gray).unwrap();
        resumed.on_tick(&tick(3000, &[]), &Gray).unwrap();
        let drawn = |kimg| folder.path().join(format!("samples/fake_00000{kimg}.png")).exists();
        assert_eq!([1, 2, 3].map(drawn), [true, false, true]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = TensorBoard::new(file.path().join("tb")).on_start(&run(0)).unwrap_err();
        assert!(matches!(&error, Error::Folder { path, .. } if path.starts_with(file.path())));
    }
}
