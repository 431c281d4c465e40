//! Samples a saved generator or teacher to a picture, to arrays for NumPy, or both.
//!
//! ```text
//! cargo run --release --example 03_sample -- --help
//! cargo run --release --example 03_sample -- runs/quickstart/student/model.safetensors
//! cargo run --release --example 03_sample -- runs/quickstart/teacher/model.safetensors --sampler edm --steps 9
//! cargo run --release --example 03_sample -- MODEL.safetensors --n 50000 --npz samples.npz --classes 0,1,2
//! ```
//!
//! The quickstart's student takes under a second for the default 96 images on two CPU cores. Expect a
//! line such as `96 images, NFE 1: 1.2 ms/image` and a picture with a class of images in each column.
//! The same seed gives the same images, whatever the batch (to within rounding, and unless the sampler draws noise).

#![allow(clippy::print_stdout)] // it is a program for people

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use fewstep::distill_trainer::{observer::write_grid, settings};
use fewstep::libtorch_ext::{Autocast, process};
use fewstep::metrics::{ByteRule, ByteScale};
use fewstep::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::create_dir_all;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Sample a saved model to a PNG, an NPZ file, or both.
#[derive(Debug, Parser)]
struct Args {
    /// The model: a file that the other examples, or `unet::save`, wrote.
    #[arg(value_name = "MODEL.safetensors")]
    model: PathBuf,
    /// `one-step`, `edm`, `euler`, `heun`, or settings as TOML: `kind="edm", steps=18, s_churn=40`. Settings that are
    /// left out are those of the model's own sampler if it is of that kind [default: the model's own, else `edm`]
    #[arg(long)]
    sampler: Option<String>,
    /// Steps of the sampler [default: the sampler's own, 18 unless it says otherwise]
    #[arg(long)]
    steps: Option<u32>,
    /// Number of images.
    #[arg(long, default_value_t = 96)]
    n: usize,
    /// Images at a time.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Class labels that the images get in turn, such as `0,1,2`; `all` stands for every class of the model.
    #[arg(long, default_value = "all")]
    classes: String,
    /// Height and width of the images, for a model that is not made for one size [default: what it was trained with]
    #[arg(long)]
    size: Option<i64>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Arithmetic of the network.
    #[arg(long, value_enum, default_value_t = Arithmetic::F32)]
    precision: Arithmetic,
    /// The picture: the images row by row.
    #[arg(long, value_name = "FILE.png", default_value = "samples.png")]
    out: PathBuf,
    /// Images in a row of the picture [default: one for each class of a model with 2 to 16, else 12]
    #[arg(long)]
    columns: Option<i64>,
    /// Images in the picture, the first ones.
    #[arg(long, default_value_t = 240)]
    shown: usize,
    /// Also write all images as bytes [N, H, W, C] `arr_0` and their labels [N] `arr_1`, for `numpy.load`.
    #[arg(long, value_name = "FILE.npz")]
    npz: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Arithmetic {
    F32,
    Bf16,
}

fn main() -> Result<()> {
    process::tune_allocator();
    let args = Args::parse();
    ensure!(args.n > 0 && args.batch > 0, "`--n` and `--batch` must be at least 1");

    // 1. The model, its sampler, and the classes it knows.
    let device = device::parse(&args.device)?;
    let (network, config) = unet::load(&args.model, device)?;
    let model = &config.architecture;
    ensure!(
        !model.needs_text(),
        "{} needs a text, which this example has not",
        args.model.display()
    );
    let classes = model.classes();
    let Some(size) = args.size.or(model.image_size()) else {
        anyhow::bail!("{} makes images of any size; choose one with --size", args.model.display())
    };
    model.check_image_size(size).with_context(|| format!("no images of {size} × {size}"))?;
    network.prepare();
    let chosen = sampler(&args, config.sampler.clone())?;
    let generator = Sampling::new(&network, chosen.build()?);
    let labels = labels(&args, classes)?;
    // A wrong class or folder is an error before the work begins.
    Cond::classes(&labels, classes, device)?;
    for folder in
        [Some(&args.out), args.npz.as_ref()].into_iter().flatten().flat_map(|p| p.parent())
    {
        create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }

    // 2. The images, batch by batch. Latents are drawn image by image, so they do not depend on the batch.
    let mut latents = Noise::new(args.seed).stream("latents").on(device);
    let mut noise = Noise::new(args.seed).stream("sampler").on(device);
    let shape = [model.image_channels(), size, size];
    let bar = ProgressBar::new(args.n as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} images, {elapsed} elapsed, {eta} left",
    )?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let _bf16 = (args.precision == Arithmetic::Bf16).then(|| Autocast::bf16(device));
    let started = Instant::now();
    let mut bytes = Vec::new();
    for labels in labels.chunks(args.batch) {
        let z: Vec<Tensor> = labels.iter().map(|_| latents.normal(&shape)).collect();
        let cond = Cond::classes(labels, classes, device)?;
        let images = generator.generate(&Tensor::stack(&z, 0), &cond, &mut noise);
        ensure!(
            bool::try_from(images.isfinite().all())?,
            "the model makes images that are NaN or infinite"
        );
        bytes.push(ByteRule::Edm.encode(&images).to_device(Device::Cpu));
        bar.inc(labels.len() as u64);
    }
    let ms = started.elapsed().as_secs_f64() * 1e3 / args.n as f64;
    bar.finish_and_clear();
    println!("sampler: {}", serde_json::to_string(&chosen)?);
    println!("{} images, NFE {}: {ms:.2} ms/image", args.n, generator.nfe());

    // 3. The files.
    let bytes = Tensor::cat(&bytes, 0);
    let shown = bytes.narrow(0, 0, args.shown.clamp(1, args.n) as i64);
    let columns = if (2..=16).contains(&classes) { classes } else { 12 };
    write_grid(&args.out, &ByteScale::Edm.decode(&shown), args.columns.unwrap_or(columns))?;
    println!("wrote {}", args.out.display());
    if let Some(path) = &args.npz {
        let mut arrays = vec![("arr_0", bytes.permute([0, 2, 3, 1]).contiguous())];
        if classes > 0 {
            arrays.push(("arr_1", Tensor::from_slice(&labels)));
        }
        // Reading it back notices a disk that is full at the very end.
        Tensor::write_npz(&arrays, path)
            .and_then(|()| Tensor::read_npz(path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The model's own sampler, with what the command line says laid over it; another kind starts from its defaults.
fn sampler(args: &Args, own: Option<SamplerConfig>) -> Result<SamplerConfig> {
    let mut table = toml::Table::new();
    table.insert("sampler".into(), toml::Value::try_from(own.unwrap_or_default())?);
    if let Some(text) = &args.sampler {
        let inline = if text.contains('=') { text.clone() } else { format!("kind={text:?}") };
        let given = format!("sampler={{{inline}}}").parse().with_context(|| {
            format!("`--sampler {text}` is no TOML; write it like 'kind=\"edm\", steps=18'")
        })?;
        settings::merge(&mut table, given);
    }
    if let Some(steps) = args.steps {
        settings::merge(&mut table, settings::assignment(&format!("sampler.steps={steps}"))?);
    }
    let sampler = table.remove("sampler").expect("it was inserted above");
    let shown = sampler.to_string();
    sampler.try_into().with_context(|| format!("no sampler has the settings {shown}"))
}

/// The class of every image; all 0 for a model without classes.
fn labels(args: &Args, classes: i64) -> Result<Vec<i64>> {
    let given: Vec<i64> = match args.classes.as_str() {
        "all" => (0..classes.max(1)).collect(),
        _ if classes == 0 => anyhow::bail!("the model has no classes; leave out `--classes`"),
        list => list
            .split(',')
            .map(|label| label.trim().parse())
            .collect::<Result<_, _>>()
            .with_context(|| {
                format!("`--classes {list}`: use numbers such as `0,1,2`, or `all`")
            })?,
    };
    Ok(given.into_iter().cycle().take(args.n).collect())
}
