//! Losses over the run, as a picture.

use super::chart::{self, Point};
use crate::{Error, Flow, Observer, Outcome, Result, RunInfo, Tick};
use diffusion_core::{Error as CoreError, Generator, State};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Ticks that follow each other faster are drawn together.
const PAUSE: Duration = Duration::from_secs(10);

/// Draws every logged term, everything measured and the norm of every player's gradients over thousands of images, one panel
/// each, into one PNG.
///
/// An axis is logarithmic where all values are positive and span more than two decades. Values that are not finite
/// are left out. The picture is renewed on the first tick, then at most every ten seconds, and at the end of the run;
/// its history is part of the checkpoint.
#[derive(Debug)]
pub struct LossCurves {
    path: PathBuf,
    curves: BTreeMap<String, Vec<Point>>,
    drawn: Option<Instant>,
    stale: bool,
}

impl LossCurves {
    /// Draws into the file at `path`; folders above it are created when the run starts.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), curves: BTreeMap::new(), drawn: None, stale: false }
    }

    fn collect(&mut self, tick: &Tick) {
        for (term, value) in tick.curves().into_iter().filter(|(_, value)| value.is_finite()) {
            let curve = self.curves.entry(term).or_default();
            curve.push((tick.progress.kimg(), value));
            self.stale = true;
        }
    }

    fn draw(&mut self) -> Result<()> {
        let png = chart::encode(&self.curves)
            .map_err(|reason| Error::Picture { path: self.path.clone(), reason })?;
        diffusion_core::tensor_file::write_bytes(&self.path, &png)?;
        (self.drawn, self.stale) = (Some(Instant::now()), false);
        Ok(())
    }
}

impl Observer for LossCurves {
    fn on_start(&mut self, _run: &RunInfo) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|source| Error::Folder { path: folder.into(), source })
    }

    fn on_tick(&mut self, tick: &Tick, _student: &dyn Generator) -> Result<Flow> {
        self.collect(tick);
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) || tick.last;
        if self.stale && due {
            self.draw()?;
        }
        Ok(Flow::Continue)
    }

    fn on_end(&mut self, _outcome: &Outcome) -> Result<()> {
        if self.stale { self.draw() } else { Ok(()) }
    }

    fn key(&self) -> &str {
        "loss-curves"
    }

    /// Each curve as a tensor `[points, 2]` of thousands of images and values.
    fn state(&self) -> State {
        let tensors = self.curves.iter().map(|(term, curve)| (term.clone(), to_tensor(curve)));
        State { tensors: tensors.collect(), ..State::default() }
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let curves =
            state.tensors.iter().map(|(term, t)| Ok((term.clone(), from_tensor(term, t)?)));
        self.curves = curves.collect::<Result<_>>()?;
        Ok(())
    }
}

fn to_tensor(curve: &[Point]) -> Tensor {
    let values: Vec<f64> = curve.iter().flat_map(|&(kimg, value)| [kimg, value]).collect();
    Tensor::from_slice(&values).view([-1, 2])
}

fn from_tensor(term: &str, tensor: &Tensor) -> Result<Vec<Point>> {
    let found = tensor.size();
    if !matches!(found[..], [_, 2]) {
        return Err(
            CoreError::ShapeMismatch { name: term.into(), expected: vec![-1, 2], found }.into()
        );
    }
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Double).contiguous().view(-1);
    let values = Vec::<f64>::try_from(flat).map_err(CoreError::from)?;
    Ok(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::fixture::{Gray, run, tick};

    fn has_colors(path: &Path) -> bool {
        let picture = image::open(path).unwrap().to_rgb8();
        picture.pixels().any(|pixel| pixel.0[2] > pixel.0[0].saturating_add(60))
    }

    #[test]
    fn the_first_tick_and_the_end_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/curves.png");
        let mut curves = LossCurves::new(&path);
        curves.on_start(&run(0)).unwrap();
        curves.on_tick(&tick(1000, &[("loss", 1.0)]), &Gray).unwrap();
        assert!(has_colors(&path));
        fs::remove_file(&path).unwrap();
        curves.on_tick(&tick(2000, &[("loss", 0.5)]), &Gray).unwrap();
        assert!(!path.exists()); // too soon
        curves.on_end(&Outcome::Finished).unwrap();
        assert!(has_colors(&path));
    }

    #[test]
    fn values_that_are_not_finite_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.png");
        let mut curves = LossCurves::new(&path);
        let mut bad = tick(1000, &[("a", f64::NAN), ("b", f64::INFINITY)]);
        bad.grad_norm.insert("student".into(), f64::NAN);
        curves.on_tick(&bad, &Gray).unwrap();
        curves.on_end(&Outcome::Interrupted).unwrap();
        assert!(!path.exists());
        curves.on_tick(&tick(2000, &[("a", 1.0), ("b", f64::NAN)]), &Gray).unwrap();
        let (a, norm) = (("a".into(), vec![(2.0, 1.0)]), vec![(2.0, 0.25)]);
        assert_eq!(curves.curves, BTreeMap::from([a, ("grad_norm/student".into(), norm)]));
    }

    #[test]
    fn the_history_survives_a_resume() {
        let mut curves = LossCurves::new("");
        curves.collect(&tick(1000, &[("fake/loss", 0.1), ("student/loss", 3.0)]));
        curves.collect(&tick(2000, &[("fake/loss", 0.2)]));
        let mut resumed = LossCurves::new("");
        resumed.restore(&curves.state()).unwrap();
        assert_eq!(resumed.curves, curves.curves);
    }

    #[test]
    fn a_state_of_another_kind_is_refused() {
        let mut state = State::default();
        state.tensors.insert("weight".into(), Tensor::from_slice(&[1.0f32, 2.0, 3.0]));
        let error = LossCurves::new("").restore(&state).unwrap_err();
        assert!(error.to_string().contains("`weight` has shape [3]"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = LossCurves::new(file.path().join("curves.png")).on_start(&run(0)).unwrap_err();
        assert!(matches!(&error, Error::Folder { path, .. } if path == file.path()));
    }
}
