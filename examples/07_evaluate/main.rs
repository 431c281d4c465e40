//! Measures a generator, or a folder of images, by a published distance.
//!
//! ```text
//! cargo run --release --example 07_evaluate -- --help
//! cargo run --release --example 07_evaluate -- student.safetensors --reference cifar10-32x32.npz
//! cargo run --release --example 07_evaluate -- teacher.safetensors --reference cifar10.zip --steps 9,18 --seeds 3
//! cargo run --release --example 07_evaluate -- pictures.zip --reference cifar10.zip --recipe clean-fid --save-reference cifar10.safetensors
//! ```
//!
//! The network's weights are looked for in the cache; if they are not there, the error says where to get them. Inception takes
//! about 0.1 s an image on one CPU core. Expect a line for each measurement, then a table such as
//!
//! ```text
//! sampler                              images  seeds      min     mean   spread
//! {"kind":"one-step","sigma":80.0}      50000      3    2.961    2.994    0.061
//! ```
//!
//! Every measurement is a line of JSON in `--out`, with everything that decided it. Those that are there already are not
//! repeated, so that a run that was interrupted goes on. The least of several seeds is what EDM reports, and is optimistic.

#![allow(clippy::print_stdout)] // it is a program for people

mod images;
mod rows;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use fewstep::backbones::{PublishedFeatures, recipe_features, weight_file};
use fewstep::libtorch_ext::{process, switches};
use fewstep::metrics::{FeatureFrechet, GaussianStats, Metric, Recipe, ReferenceStats};
use fewstep::prelude::*;
use images::{Files, Generated};
use rows::{Row, Rows};
use std::path::{Path, PathBuf};

/// Measure a saved model, or images in files, by the Fréchet distance of a published recipe.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The model, a .safetensors file of the other examples; or a folder or zip archive of images.
    #[arg(value_name = "MODEL.safetensors or IMAGES")]
    subject: PathBuf,
    /// The real images, a folder or zip archive; or their statistics: .npz as EDM and pytorch-fid publish them, or
    /// .safetensors that this example wrote.
    #[arg(long, value_name = "IMAGES or FILE")]
    reference: PathBuf,
    /// How the number is made: `EDM FID`, `StyleGAN FID`, `ADM FID`, `torch-fidelity`, `pytorch-fid`, `clean-fid`, `FD-DINOv2`.
    #[arg(long, default_value = "EDM FID")]
    recipe: String,
    /// The weights of the recipe's network, in any format [default: the published file in the cache].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Images that are measured; of files that hold more, those that EDM's program takes.
    #[arg(long, default_value_t = 50_000)]
    n: usize,
    /// Independent sets of images that a model makes.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps of the model's sampler, a measurement for each [default: the sampler's own].
    #[arg(long, value_delimiter = ',')]
    steps: Vec<u32>,
    /// Images at a time.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Where measurements go, a JSON object a line.
    #[arg(long, value_name = "FILE.jsonl", default_value = "evaluation.jsonl")]
    out: PathBuf,
    /// Keep the statistics of reference images, with their recipe.
    #[arg(long, value_name = "FILE.safetensors")]
    save_reference: Option<PathBuf>,
}

fn main() -> Result<()> {
    process::tune_allocator();
    run(&Args::parse())
}

/// Measures what is not measured yet, and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.n >= 2 && args.batch > 0, "`--n` must be at least 2 and `--batch` at least 1");
    let recipe = Recipe::named(&args.recipe).with_context(|| {
        let names: Vec<_> = Recipe::NAMED.iter().map(|recipe| &*recipe.name).collect();
        format!("there is no recipe `{}`; there are {}", args.recipe, names.join(", "))
    })?;
    let device = device::parse(&args.device)?;
    switches::set_tf32_convolutions(false); // published numbers are in full single precision
    let weights = match &args.weights {
        Some(path) => path.clone(),
        None => weight_file(&recipe)?.in_cache()?,
    };
    let features = |recipe| recipe_features(recipe, &weights, device);
    let reference = reference(args, &features(recipe.clone())?)?;
    let mut metric = FeatureFrechet::from_reference(features(recipe)?, &reference)?;
    let mut rows = Rows::open(&args.out)?;
    if is_model(&args.subject) {
        measure_model(args, device, &mut metric, &mut rows)?;
    } else {
        measure_files(args, &mut metric, &mut rows)?;
    }
    print!("{}", rows.table());
    Ok(())
}

/// A single file of tensors is a model; everything else holds images.
fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

/// The statistics of the real images, read or computed.
fn reference(args: &Args, features: &PublishedFeatures) -> Result<ReferenceStats> {
    let (path, recipe) = (&args.reference, features.recipe());
    let stats = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => ReferenceStats::read_npz(path, recipe.clone())?,
        Some("safetensors") => ReferenceStats::read_safetensors(path)?,
        _ => {
            let files = Files::open(path, usize::MAX)?;
            let mut stats = GaussianStats::new(recipe.dim);
            files.batches("reference", args.batch, |bytes| {
                Ok(stats.update(&features.features_of_bytes(&bytes)?)?)
            })?;
            ReferenceStats::of(&stats, recipe.clone())?
        }
    };
    if let Some(path) = &args.save_reference {
        stats.write_safetensors(path)?;
    }
    recipe.require_same(&stats.recipe)?;
    Ok(stats)
}

fn measure_files(
    args: &Args,
    metric: &mut FeatureFrechet<PublishedFeatures>,
    rows: &mut Rows,
) -> Result<()> {
    let files = Files::open(&args.subject, args.n)?;
    let row = Row::new(&args.subject, &args.reference, files.len(), "", 0)?;
    rows.measure(row, metric, |metric| {
        files.batches("images", args.batch, |bytes| Ok(metric.update_bytes(&bytes)?))
    })
}

fn measure_model(
    args: &Args,
    device: Device,
    metric: &mut FeatureFrechet<PublishedFeatures>,
    rows: &mut Rows,
) -> Result<()> {
    let (network, model) = unet::load(&args.subject, device)?;
    if model.architecture.needs_text() {
        bail!("{} needs a text, which this example has not", args.subject.display());
    }
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
            let row = Row::new(&args.subject, &args.reference, args.n, &shown, seed)?;
            let images = Generated::new(&generator, &model.architecture, seed, device)?;
            rows.measure(row, metric, |metric| {
                images.batches(args.n, args.batch, |images| Ok(metric.update(&images)?))
            })?;
        }
    }
    Ok(())
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
