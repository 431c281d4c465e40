//! What the student draws, as it learns.

use super::image_grid;
use crate::{Error, Flow, Observer, Result, RunInfo, Tick};
use diffusion_core::{Cond, Generator, Noise, State};
use std::fs;
use std::path::PathBuf;
use tch::Tensor;

/// Images that are generated together, whatever the size of the grid.
const AT_ONCE: i64 = 64;

/// Draws the student's images for always the same latents and labels.
///
/// Writes `fake_<kimg>.png` (thousands of images, six digits) and a copy named `latest.png`, on the first tick, on
/// every `n`-th one after it and on the last.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Noise};
/// use distill_trainer::observer::SampleGrid;
/// let labels: Vec<i64> = (0..80).map(|i| i % 10).collect(); // one class per column
/// let labels = Cond::classes(&labels, 10, tch::Device::Cpu)?;
/// let grid = SampleGrid::new("runs/digits", [1, 28, 28], [8, 10], &Noise::new(0)).labeled(labels).every(5);
/// # Ok::<(), diffusion_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SampleGrid {
    folder: PathBuf,
    z: Tensor,
    cond: Cond,
    columns: i64,
    noise: Noise,
    every: u64,
    ticks: u64,
}

impl SampleGrid {
    /// A grid of `[rows, columns]` images of the shape `[C, H, W]`, on every tick, without labels.
    ///
    /// `noise` chooses the latents and the device that the student runs on.
    ///
    /// # Panics
    /// If the grid has no row or no column.
    pub fn new(
        folder: impl Into<PathBuf>,
        image: [i64; 3],
        [rows, columns]: [i64; 2],
        noise: &Noise,
    ) -> Self {
        assert!(rows > 0 && columns > 0, "a grid of {rows} x {columns} images holds none");
        let [c, h, w] = image;
        let z = noise.stream("grid latents").normal(&[rows * columns, c, h, w]);
        let (noise, folder) = (noise.stream("grid sampler"), folder.into());
        Self { folder, z, cond: Cond::none(), columns, noise, every: 1, ticks: 0 }
    }

    /// The same grid with a condition for each image, row by row.
    ///
    /// # Panics
    /// If the number of class labels is not that of the images.
    #[must_use]
    pub fn labeled(self, cond: Cond) -> Self {
        if let Some(labels) = &cond.labels {
            let (found, images) = (labels.size()[0], self.z.size()[0]);
            assert!(found == images, "{found} labels for a grid of {images} images");
        }
        Self { cond: cond.to_device(self.z.device()), ..self }
    }

    /// The same grid on every `ticks`-th tick only.
    ///
    /// # Panics
    /// If `ticks` is 0.
    #[must_use]
    pub fn every(self, ticks: u64) -> Self {
        assert!(ticks > 0, "a grid can be drawn every tick or less often, not every 0 ticks");
        Self { every: ticks, ..self }
    }

    /// The picture of this tick as a PNG, after it was written, if there is to be one.
    pub(super) fn draw_if_due(
        &mut self,
        tick: &Tick,
        student: &dyn Generator,
    ) -> Result<Option<Vec<u8>>> {
        let due = self.ticks.is_multiple_of(self.every) || tick.last;
        self.ticks += 1;
        due.then(|| self.draw(tick.progress.images / 1000, student)).transpose()
    }

    fn draw(&self, kimg: u64, student: &dyn Generator) -> Result<Vec<u8>> {
        let fake = self.folder.join(format!("fake_{kimg:06}.png"));
        let png = image_grid::encode(&self.generate(student), self.columns)
            .map_err(|reason| Error::Picture { path: fake.clone(), reason })?;
        for path in [fake, self.folder.join("latest.png")] {
            diffusion_core::tensor_file::write_bytes(&path, &png)?;
        }
        Ok(png)
    }

    /// The images of the grid; the noise is the same on every call.
    fn generate(&self, student: &dyn Generator) -> Tensor {
        let (images, mut noise) = (self.z.size()[0], self.noise.clone());
        let parts: Vec<_> = (0..images)
            .step_by(AT_ONCE as usize)
            .map(|start| {
                let length = AT_ONCE.min(images - start);
                let (z, cond) = (self.z.narrow(0, start, length), self.cond.narrow(start, length));
                student.generate(&z, &cond, &mut noise)
            })
            .collect();
        Tensor::cat(&parts, 0)
    }
}

impl Observer for SampleGrid {
    fn on_start(&mut self, _run: &RunInfo) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .map_err(|source| Error::Folder { path: self.folder.clone(), source })
    }

    fn on_tick(&mut self, tick: &Tick, student: &dyn Generator) -> Result<Flow> {
        self.draw_if_due(tick, student)?;
        Ok(Flow::Continue)
    }

    fn key(&self) -> &str {
        "sample-grid"
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.set("ticks", self.ticks);
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.ticks = state.get("ticks")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::fixture::{Gray, run, tick};
    use image::Rgb;

    const IMAGE: [i64; 3] = [1, 64, 64];

    #[test]
    fn due_ticks_and_the_last_one_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grids");
        let mut grid = SampleGrid::new(&path, IMAGE, [1, 1], &Noise::new(0)).every(2);
        grid.on_start(&run(0)).unwrap();
        for images in [1000, 2000, 3000, 200_000] {
            grid.on_tick(&tick(images, &[]), &Gray).unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let fakes = ["fake_000001.png", "fake_000003.png", "fake_000200.png", "latest.png"];
        assert_eq!(names, fakes);
    }

    #[test]
    fn images_stand_row_by_row_under_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let labels = Cond::classes(&[0, 1], 2, tch::Device::Cpu).unwrap();
        let mut grid =
            SampleGrid::new(folder.path(), IMAGE, [1, 2], &Noise::new(0)).labeled(labels);
        grid.on_tick(&tick(0, &[]), &Gray).unwrap();
        let picture = image::open(folder.path().join("latest.png")).unwrap().to_rgb8();
        assert_eq!(picture.get_pixel(100, 100), &Rgb([128; 3]));
        assert_eq!(picture.get_pixel(400, 100), &Rgb([255; 3]));
    }

    #[test]
    fn latents_are_the_same_in_every_run_and_in_parts() {
        struct Latents;
        impl Generator for Latents {
            fn generate(&self, z: &Tensor, _: &Cond, _: &mut Noise) -> Tensor {
                assert!(z.size()[0] <= AT_ONCE);
                z.shallow_clone()
            }
            fn nfe(&self) -> usize {
                1
            }
        }
        let grid = || SampleGrid::new("unused", [1, 2, 2], [10, 7], &Noise::new(5));
        assert_eq!(grid().generate(&Latents), grid().z);
    }

    #[test]
    fn a_resumed_grid_keeps_its_rhythm() {
        let grid =
            |ticks| SampleGrid { ticks, ..SampleGrid::new("", IMAGE, [1, 1], &Noise::new(0)) };
        let mut resumed = grid(0);
        resumed.restore(&grid(3).state()).unwrap();
        assert_eq!(resumed.ticks, 3);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("grids");
        let mut grid = SampleGrid::new(&path, IMAGE, [1, 1], &Noise::new(0));
        let error = grid.on_start(&run(0)).unwrap_err();
        assert!(matches!(&error, Error::Folder { path: named, .. } if *named == path));
        assert!(
            grid.on_tick(&tick(0, &[]), &Gray).unwrap_err().to_string().contains("fake_000000")
        );
    }

    #[test]
    #[should_panic(expected = "3 labels for a grid of 4 images")]
    fn labels_must_fit_the_grid() {
        let labels = Cond::classes(&[0, 0, 0], 2, tch::Device::Cpu).unwrap();
        let _ = SampleGrid::new("", IMAGE, [2, 2], &Noise::new(0)).labeled(labels);
    }
}
