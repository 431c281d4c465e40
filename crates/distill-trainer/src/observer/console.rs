//! Progress for people.

use crate::{Flow, Observer, Outcome, Progress, Result, RunInfo, Tick};
use diffusion_core::Generator;
use indicatif::{FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

const BAR: &str = "{bar:32} {kimg}/{total_kimg} kimg  {elapsed}  ETA {eta}\n{wide_msg}";

/// Shows on stderr how far the run is, how fast it goes, what the losses are, how much memory it holds, and what was
/// measured.
///
/// Everything else, such as other terms, gradient norms and learning rates, is left to the logs.
///
/// On a terminal that is a progress bar, elsewhere (a log file, a pipe) one line per tick. A terminal that goes away
/// does not end the run: what cannot be written is dropped.
pub struct Console {
    screen: Screen,
    label: String,
    latest: Option<Tick>,
}

enum Screen {
    Bar(ProgressBar),
    Lines(Box<dyn Write>),
}

impl Console {
    /// A progress bar if stderr is a terminal, else lines on stderr.
    pub fn new() -> Self {
        if std::io::stderr().is_terminal() {
            Self::on(Screen::Bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())))
        } else {
            Self::lines(std::io::stderr())
        }
    }

    /// One line per tick to `out`.
    pub fn lines(out: impl Write + 'static) -> Self {
        Self::on(Screen::Lines(Box::new(out)))
    }

    fn on(screen: Screen) -> Self {
        Self { screen, label: String::new(), latest: None }
    }

    fn say(&mut self, line: &str) {
        match &mut self.screen {
            Screen::Bar(bar) => bar.println(line),
            Screen::Lines(out) => {
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
        }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Observer for Console {
    fn on_start(&mut self, run: &RunInfo) -> Result<()> {
        self.label.clone_from(&run.label);
        self.say(&greeting(run));
        if let Screen::Bar(bar) = &self.screen {
            start(bar, run);
        }
        Ok(())
    }

    fn on_step(&mut self, progress: Progress) {
        if let Screen::Bar(bar) = &self.screen {
            bar.set_position(progress.images);
        }
    }

    fn on_tick(&mut self, tick: &Tick, _student: &dyn Generator) -> Result<Flow> {
        if !tick.metrics.is_empty() {
            self.say(&measured(tick));
        }
        match &self.screen {
            Screen::Bar(bar) => {
                bar.set_position(tick.progress.images);
                bar.set_message(news(tick));
                self.latest = Some(tick.clone());
            }
            Screen::Lines(_) => self.say(&line(tick)),
        }
        Ok(Flow::Continue)
    }

    fn on_notice(&mut self, text: &str) {
        self.say(text);
    }

    fn on_end(&mut self, outcome: &Outcome) -> Result<()> {
        if let Screen::Bar(bar) = &self.screen {
            bar.finish_and_clear();
        }
        if let Some(tick) = self.latest.take() {
            self.say(&line(&tick));
        }
        self.say(&format!("{} {}", self.label, verdict(outcome)));
        Ok(())
    }
}

/// Shows the bar at the run's progress; its speed is measured from there.
fn start(bar: &ProgressBar, run: &RunInfo) {
    bar.set_style(style());
    bar.set_length(run.total_images);
    bar.set_position(run.progress.images);
    bar.reset_eta();
    bar.reset_elapsed();
}

fn style() -> ProgressStyle {
    let kimg = |images: u64| format!("{:.1}", images as f64 / 1000.0);
    ProgressStyle::with_template(BAR)
        .expect("the template is well-formed")
        .with_key("kimg", move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&kimg(state.pos()));
        })
        .with_key("total_kimg", move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&kimg(state.len().unwrap_or(0)));
        })
}

fn greeting(run: &RunInfo) -> String {
    let verb = if run.progress == Progress::default() { "starts" } else { "resumes" };
    let (done, total) = (run.progress.kimg(), run.total_images as f64 / 1000.0);
    format!("{} {verb} at {done:.1} of {total:.1} kimg, batch {}", run.label, run.batch)
}

fn verdict(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => "has finished".into(),
        Outcome::Stopped => "stopped before its budget was spent, as it was asked to".into(),
        Outcome::Interrupted => "was interrupted".into(),
        Outcome::Failed(reason) => format!("failed: {reason}"),
    }
}

/// A tick as a line.
fn line(tick: &Tick) -> String {
    let (done, total) = (tick.progress.kimg(), tick.total_images as f64 / 1000.0);
    let left = (total - done).max(0.0) * tick.s_per_kimg;
    let (elapsed, eta) = (clock(tick.elapsed_s), clock(left));
    format!("{done:.1}/{total:.1} kimg  {elapsed}  ETA {eta}  {}", news(tick))
}

/// Speed, losses, memory and trouble: what the bar cannot know by itself.
fn news(tick: &Tick) -> String {
    let speed = format!("{} img/s", compact(tick.images_per_s));
    let losses = tick.terms.iter().filter(|(name, _)| name.ends_with("/loss"));
    let losses = losses.map(|(name, value)| format!("{name} {}", compact(*value)));
    let memory = tick.memory.cuda.map(|bytes| format!("{} GPU", gib(bytes)));
    let memory = memory.or(tick.memory.rss.map(gib));
    let n = tick.non_finite;
    let trouble = (n > 0).then(|| format!("{n} turns not finite"));
    let parts: Vec<_> = [speed].into_iter().chain(losses).chain(memory).chain(trouble).collect();
    parts.join("  ")
}

/// What was measured, as a line of its own: a bar would hide it at the next tick.
fn measured(tick: &Tick) -> String {
    let values = tick.metrics.iter().map(|(name, value)| format!("{name} {}", compact(*value)));
    let values: Vec<_> = values.collect();
    format!("measured at {:.1} kimg: {}", tick.progress.kimg(), values.join("  "))
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

fn clock(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds.round());
    duration.map_or("?".into(), |duration| FormattedDuration(duration).to_string())
}

/// A number in four significant digits.
fn compact(value: f64) -> String {
    let magnitude = value.abs();
    if value != 0.0 && !(1e-3..1e5).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let digits_before = magnitude.max(1e-3).log10().floor() as i32;
    let digits_after = (3 - digits_before).clamp(0, 6) as usize;
    format!("{value:.digits_after$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::fixture::{Gray, run, tick};
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    /// A screen that can be read.
    #[derive(Clone, Default)]
    struct Screenshot(Rc<RefCell<Vec<u8>>>);

    impl Write for Screenshot {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screenshot {
        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    #[test]
    fn lines_tell_progress_speed_terms_and_outcome() {
        let screen = Screenshot::default();
        let mut console = Console::lines(screen.clone());
        console.on_start(&run(0)).unwrap();
        let mut troubled = tick(50_000, &[("fake/loss", 0.012_345), ("fake/weight", 1.0)]);
        console.on_tick(&troubled, &Gray).unwrap();
        troubled.non_finite = 3;
        troubled.memory.cuda = Some(5 << 29);
        troubled.memory.cuda_peak = Some(3 << 30);
        console.on_tick(&troubled, &Gray).unwrap();
        console.on_end(&Outcome::Finished).unwrap();
        let text = screen.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "toy starts at 0.0 of 200.0 kimg, batch 64");
        let start = "50.0/200.0 kimg  00:01:40  ETA 00:05:00  500.0 img/s  fake/loss 0.01235";
        assert_eq!(lines[1], format!("{start}  3.00 GiB"));
        assert_eq!(lines[2], format!("{start}  2.50 GiB GPU  3 turns not finite"));
        assert_eq!(lines[3], "toy has finished");
    }

    #[test]
    fn what_was_measured_has_a_line_of_its_own() {
        let screen = Screenshot::default();
        let mut console = Console::lines(screen.clone());
        let mut measured = tick(12_800, &[]);
        measured.metrics = [("FID".into(), 3.25), ("SW1".into(), 0.017)].into();
        console.on_tick(&measured, &Gray).unwrap();
        let text = screen.text();
        assert_eq!(text.lines().next(), Some("measured at 12.8 kimg: FID 3.250  SW1 0.01700"));
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn a_closed_screen_does_not_end_the_run() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut console = Console::lines(Closed);
        assert!(console.on_start(&run(0)).is_ok());
        assert_eq!(console.on_tick(&tick(1, &[]), &Gray).unwrap(), Flow::Continue);
    }

    #[test]
    fn the_bar_starts_where_the_run_resumes() {
        let bar = ProgressBar::hidden();
        let mut console = Console::on(Screen::Bar(bar.clone()));
        console.on_start(&run(120_000)).unwrap();
        assert_eq!((bar.position(), bar.length()), (120_000, Some(200_000)));
        console.on_step(Progress { step: 1876, images: 120_064 });
        assert_eq!(bar.position(), 120_064);
    }

    #[test]
    fn numbers_stay_short() {
        let texts = [0.0, 1.0, -12.345, 1234.567, 0.001_234_5, 1e-7, 2.5e9].map(compact);
        let expected = ["0.000000", "1.000", "-12.35", "1235", "0.001234", "1.000e-7", "2.500e9"];
        assert_eq!(texts, expected);
        assert_eq!(compact(f64::NAN), "NaN");
        assert_eq!(clock(f64::INFINITY), "?");
    }
}
