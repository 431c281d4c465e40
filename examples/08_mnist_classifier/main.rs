//! Trains the classifier by which results on MNIST are judged: a `LeNet`, from a seed.
//!
//! ```text
//! cargo run --release --example 08_mnist_classifier -- --help
//! cargo run --release --example 08_mnist_classifier -- --data mnist/
//! cargo run --release --example 08_mnist_classifier -- --data mnist/ --size 16 --out mnist16-lenet.safetensors
//! cargo run --release --example 02_distill -- --data mnist/ evaluation.classifier=mnist-lenet.safetensors
//! ```
//!
//! Takes a minute on one CPU core. Expect the accuracy after each epoch, at the end about 99 % of the test images, the errors
//! by class, and a table of what the file measures: of two sets of real images, of blurred ones, of one digit again and again,
//! and of noise, from good to bad. `--data` may be any data set with classes; `shapes` is built in. Give the size of the images
//! that are to be judged: a network trained on sharp digits is no judge of reduced ones.
//!
//! It runs on one thread of the CPU, so that the same command on the same machine gives the same bits. Other processors round
//! otherwise: distances are comparable between those who use the same *file*, and a recipe names the checksum of its weights.

#![allow(clippy::print_stdout)] // it is a program for people

mod sanity;
mod training;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use fewstep::backbones::LeNet;
use fewstep::datasets::{OpenOptions, Split, open};
use fewstep::libtorch_ext::process;
use fewstep::metrics::{Report, table};
use fewstep::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use training::Labeled;

/// Train a small classifier, and save it with everything that decided it.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Pictures with classes: a folder of MNIST's files, or any other data set.
    #[arg(long, default_value = "mnist")]
    data: PathBuf,
    /// Resize pictures to this many pixels a side, as those that are to be judged; 0 keeps their size.
    #[arg(long, default_value_t = 0)]
    size: u32,
    /// Passes over the training images.
    #[arg(long, default_value_t = 6)]
    epochs: usize,
    /// Images of one step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Learning rate of Adam at the start; it falls to zero along a cosine.
    #[arg(long, default_value_t = 2e-3)]
    lr: f64,
    /// Seed of the weights and of the order of the images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Use only so many images for training and at most as many for testing; 0 means all.
    #[arg(long, default_value_t = 0)]
    images: usize,
    /// Where the network goes.
    #[arg(long, value_name = "FILE.safetensors", default_value = "mnist-lenet.safetensors")]
    out: PathBuf,
}

/// What came out.
pub(crate) struct Trained {
    pub(crate) network: LeNet,
    /// The share of the test images whose class it finds.
    pub(crate) accuracy: f64,
    /// Of real images and of others; see `sanity.rs`.
    pub(crate) reports: Vec<Report>,
}

fn main() -> Result<()> {
    process::tune_allocator();
    process::set_threads(1); // sums in another order are other sums
    let args = Args::parse();
    let Trained { network, accuracy, reports } = run(&args)?;
    println!("\n{}", table(&reports));
    let (percent, checksum) = (100.0 * accuracy, network.checksum());
    println!("{}: {percent:.2} % of the test images, checksum {checksum}", args.out.display());
    Ok(())
}

/// Trains, tests, saves and checks.
pub(crate) fn run(args: &Args) -> Result<Trained> {
    ensure!(args.epochs > 0 && args.batch > 0, "`--epochs` and `--batch` must be at least 1");
    let source = |split| {
        let size = (args.size > 0).then_some(args.size);
        open(&args.data, &OpenOptions { size, split, ..OpenOptions::default() })
    };
    let training = source(Split::Train)?;
    let classes = training.classes() as i64;
    ensure!(classes > 1, "{} has no classes to tell apart", args.data.display());
    let testing = source(Split::Test)?;
    let mut noise = Noise::new(args.seed).stream("classifier");
    let network = LeNet::new(classes, &mut noise, Device::Cpu);
    let limit = if args.images == 0 { usize::MAX } else { args.images };
    let training = Labeled::of(&*training, limit, &network)?;
    let testing = Labeled::of(&*testing, limit, &network)?;

    training::train(&network, &training, args, &mut noise, |epoch| {
        let accuracy = 100.0 * testing.accuracy(&network);
        println!("epoch {epoch}: {accuracy:.2} % of {} test images", testing.len());
    })?;
    let accuracy = testing.accuracy(&network);
    for (class, (errors, images)) in testing.errors(&network).into_iter().enumerate() {
        println!("class {class}: {errors} of {images} wrong");
    }
    save(args, &network, training.len(), accuracy)?;
    let reports = sanity::check(&args.out, &training.images, &testing.images)?;
    Ok(Trained { network, accuracy, reports })
}

/// Writes the weights with what decided them.
fn save(args: &Args, network: &LeNet, images: usize, accuracy: f64) -> Result<()> {
    let recipe = serde_json::json!({
        "data": args.data,
        "size": args.size,
        "training_images": images,
        "epochs": args.epochs,
        "batch": args.batch,
        "learning_rate": args.lr,
        "seed": args.seed,
        "test_accuracy": accuracy,
        "checksum": network.checksum(),
    });
    let metadata = BTreeMap::from([("classifier".to_owned(), recipe.to_string())]);
    let saved = network.parameters().save(&args.out, &metadata);
    saved.with_context(|| format!("cannot write {}", args.out.display()))
}
