//! Measures a generator, or images in files, by published recipes.
//!
//! ```text
//! cargo run --release --example 07_evaluate -- --help
//! cargo run --release --example 07_evaluate -- student.safetensors --reference cifar10-32x32.npz
//! cargo run --release --example 07_evaluate -- teacher.safetensors --reference cifar10.zip --steps 4,9,18 --seeds 3 --plot nfe.png
//! cargo run --release --example 07_evaluate -- samples.npz --reference cifar10.zip --metrics fid,kid,precision,recall,is
//! cargo run --release --example 07_evaluate -- pictures.zip --reference cifar10.zip --recipe clean-fid --save-reference cifar10.safetensors
//! ```
//!
//! The network's weights are looked for in the cache; if they are not there, the error says where to get them. Inception takes
//! about 0.1 s an image on one CPU core. Expect a progress bar, then a table such as
//!
//! ```text
//! sampler            NFE  images seeds  ms/image  metric              min       mean     spread
//! one-step             1   50000     3      1.92  FID              2.9610     2.9940     0.0610
//! ```
//!
//! and below it the samplers and recipes in full. Every measurement is a line of JSON in `--out`, with everything that decided
//! it. Those that are there already are not repeated, so that a run that was interrupted goes on. The least of several seeds is
//! what EDM reports, and is optimistic.

#![allow(clippy::print_stdout)] // it is a program for people

mod args;
mod images;
mod judge;
mod networks;
mod plot;
mod reference;
mod rows;
mod summary;
mod wanted;

use anyhow::{Context, Result};
pub(crate) use args::Args;
use clap::Parser;
use fewstep::diffusion_core::tensor_file;
use fewstep::libtorch_ext::{process, switches};
use fewstep::metrics::Recipe;
use fewstep::prelude::*;
use images::{Files, Generated, ImageSet};
use judge::Judge;
use rows::{Dated, Measured, Row, Rows};
use std::path::{Path, PathBuf};
use wanted::Wanted;

/// Most pictures of a grid's row.
const COLUMNS: i64 = 8;

fn main() -> Result<()> {
    process::tune_allocator();
    run(&Args::parse())
}

/// Measures what is not measured yet, and shows all of it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let recipe = args.check()?;
    let device = device::parse(&args.device)?;
    switches::set_tf32_convolutions(false); // published numbers are in full single precision
    let mut run = Run {
        args,
        wanted: Wanted::parse(&args.metrics, &recipe, args.k)?,
        rows: Rows::open(&args.out)?,
        shown: Vec::new(),
        judge: None,
        recipe,
        device,
    };
    if args.has_model() {
        run.model()?;
    } else {
        run.files()?;
    }
    let lines = summary::lines(&run.shown);
    print!("{}", summary::table(&lines));
    if let Some(path) = &args.json {
        tensor_file::write_bytes(path, &serde_json::to_vec_pretty(&lines)?)?;
    }
    match &args.plot {
        Some(path) => plot::write(path, &lines),
        None => Ok(()),
    }
}

struct Run<'a> {
    args: &'a Args,
    recipe: Recipe,
    wanted: Vec<Wanted>,
    device: Device,
    judge: Option<Judge>,
    rows: Rows,
    /// This run's, in order.
    shown: Vec<Measured>,
}

impl Run<'_> {
    fn files(&mut self) -> Result<()> {
        let Args { subject, n, .. } = self.args;
        let files = Files::open("images", subject, *n, self.args.threads())?;
        let row = self.row(files.len(), "", None, 0)?;
        self.measure(&row, &files)
    }

    fn model(&mut self) -> Result<()> {
        let (args, device) = (self.args, self.device);
        let (network, model) = unet::load(&args.subject, device)?;
        network.prepare();
        let sweep: Vec<Option<u32>> = match args.steps.is_empty() {
            true => vec![None],
            false => args.steps.iter().copied().map(Some).collect(),
        };
        for steps in sweep {
            let sampler = with_steps(model.sampler.clone().unwrap_or_default(), steps)?;
            let shown = serde_json::to_string(&sampler)?;
            let generator = Sampling::new(&network, sampler.build()?);
            for seed in 0..args.seeds {
                let (model, bytes) = (&model.architecture, self.recipe.bytes);
                let images = Generated::of(&generator, model, args.n, seed, bytes, device)?;
                let row = self.row(args.n, &shown, Some(generator.nfe()), seed)?;
                self.measure(&row, &images)?;
                if let (Some(path), 0) = (&args.grid, seed) {
                    let path =
                        if args.steps.len() > 1 { numbered(path, steps) } else { path.clone() };
                    let first = images.first(args.batch)?.clamp(-1.0, 1.0);
                    observer::write_grid(&path, &first, COLUMNS.min(first.size()[0]))?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, images: usize, sampler: &str, nfe: Option<usize>, seed: u64) -> Result<Row> {
        let Args { subject, reference, weights, .. } = self.args;
        let reference = reference.as_deref().map(Dated::new).transpose()?;
        let subject = Dated::new(subject)?;
        let (weights, sampler) = (weights.clone(), sampler.into());
        Ok(Row { subject, reference, weights, images, sampler, nfe, seed })
    }

    /// Measures what is not known of a set of images.
    fn measure(&mut self, row: &Row, images: &dyn ImageSet) -> Result<()> {
        let judge = match self.judge.take() {
            Some(judge) => judge,
            None => networks::load(self.args, &self.recipe, &self.wanted, self.device)?,
        };
        let infos = self.wanted.iter().map(|&wanted| judge.info(wanted, images.len()));
        let infos = infos.collect::<Result<Vec<_>>>()?;
        let unknown = self.wanted.iter().zip(&infos);
        let unknown = unknown.filter(|(_, info)| self.rows.find(row, info).is_none());
        let unknown: Vec<Wanted> = unknown.map(|(&wanted, _)| wanted).collect();
        if !unknown.is_empty() {
            let (values, ms) = judge.measure(&unknown, images, self.args.batch)?;
            self.rows.add(row, values, ms)?;
        }
        for info in &infos {
            let measured = self.rows.find(row, info).context("what was measured is known")?;
            self.shown.push(measured.clone());
        }
        self.judge = Some(judge);
        Ok(())
    }
}

/// The sampler with another number of steps.
fn with_steps(sampler: SamplerConfig, steps: Option<u32>) -> Result<SamplerConfig> {
    let Some(steps) = steps else { return Ok(sampler) };
    let mut changed = serde_json::to_value(&sampler)?;
    changed["steps"] = steps.into();
    let shown = changed.to_string();
    serde_json::from_value(changed)
        .with_context(|| format!("the model's sampler takes no number of steps: {shown}"))
}

/// `grid.png` as `grid-18.png`.
fn numbered(path: &Path, steps: Option<u32>) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let steps = steps.map(|steps| format!("-{steps}")).unwrap_or_default();
    path.with_file_name(format!("{stem}{steps}.png"))
}
