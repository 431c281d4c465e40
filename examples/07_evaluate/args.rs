//! The command line.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use fewstep::backbones::{LeNet, LeNetOutput};
use fewstep::metrics::Recipe;
use fewstep::prelude::*;
use std::path::PathBuf;
use std::thread;

/// The recipe that has no name of its own, because its weights are not published.
const CLASSIFIER: &str = "LeNet";

/// Measure a saved model, or images in files, by published recipes.
///
/// The recipe decides how images become numbers: rounding, resizing, network, estimator. Values of different recipes, or for
/// different numbers of images, are not comparable. What is in `--out` already is not measured again, so that a run that was
/// interrupted goes on where it was.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The model, a .safetensors file of the other examples; or images: a folder or .zip of PNG and JPEG files, or an .npz
    /// with bytes `arr_0` [N, H, W, C] and, if there are classes, labels `arr_1`.
    #[arg(value_name = "MODEL.safetensors or IMAGES")]
    pub(crate) subject: PathBuf,
    /// The real images, as for the subject, which all but `is` and `lpips-diversity` need; or their statistics: .npz as EDM,
    /// pytorch-fid and ADM publish them, or .safetensors that this example wrote. A model stands for `--n` images of its own.
    #[arg(long, value_name = "IMAGES or FILE")]
    pub(crate) reference: Option<PathBuf>,
    /// How features are made: `EDM FID`, `StyleGAN FID`, `ADM FID`, `torch-fidelity`, `pytorch-fid`, `clean-fid`,
    /// `FD-DINOv2`, `EDM2 FD-DINOv2`, `CMMD`, `StyleGAN VGG16`, `torch-fidelity VGG16`, `Inception Score`; `LeNet` with the
    /// `--weights` that `08_mnist_classifier` wrote.
    #[arg(long, default_value = "EDM FID")]
    pub(crate) recipe: String,
    /// What is computed from one pass of the network [default: what the recipe is known for].
    ///
    /// fid (the recipe's Fréchet distance), fd-infinity: mean and covariance of real images suffice.
    /// kid, kid-stylegan, cmmd, precision, recall, density, coverage: need the features of real images, so that the reference
    /// must be images, or have been saved with features (or be an .npz of ADM, which holds both).
    /// is, is-stylegan, is-adm: the Inception Score by the splits of torch-fidelity, StyleGAN, ADM; its outputs are computed
    /// from Inception's features, not by a second pass.
    /// lpips-diversity: the mean LPIPS of pairs of images of one class; does without the recipe's network.
    ///
    /// All but fid keep the features in memory: 400 MB for 50,000 images of 2,048 numbers, the same for the reference, and
    /// while neighbors are looked for, as much again. fid alone keeps 34 MB.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", verbatim_doc_comment)]
    pub(crate) metrics: Vec<String>,
    /// The neighbor that precision, recall, density and coverage look for [default: 3 for the first two, 5 for the others].
    #[arg(long)]
    pub(crate) k: Option<i64>,
    /// The weights of the recipe's network, in any format [default: the published file in the cache].
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// The convolutions of LPIPS, torchvision's VGG16 [default: the published file in the cache].
    #[arg(long, value_name = "FILE")]
    pub(crate) lpips_vgg: Option<PathBuf>,
    /// The heads of LPIPS [default: the published file in the cache].
    #[arg(long, value_name = "FILE")]
    pub(crate) lpips_heads: Option<PathBuf>,
    /// Pairs of the LPIPS diversity. Their images are kept as bytes.
    #[arg(long, default_value_t = 1000)]
    pub(crate) pairs: usize,
    /// Images that are measured; of files that hold more, those that EDM's program takes.
    #[arg(long, default_value_t = 50_000)]
    pub(crate) n: usize,
    /// Independent sets of images that a model makes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Steps of the model's sampler, a measurement for each [default: the sampler's own].
    #[arg(long, value_delimiter = ',')]
    pub(crate) steps: Vec<u32>,
    /// Images at a time.
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// Threads that decode images while the network computes, each at most two batches ahead [default: one for each core].
    #[arg(long)]
    threads: Option<usize>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Where measurements go, a JSON object a line; each is added as soon as it is made.
    #[arg(long, value_name = "FILE.jsonl", default_value = "evaluation.jsonl")]
    pub(crate) out: PathBuf,
    /// Write the table as JSON: for each sampler and metric the values, least, mean and spread, recipes in full.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the first metric over network evaluations; needs several `--steps`.
    #[arg(long, value_name = "FILE.png")]
    pub(crate) plot: Option<PathBuf>,
    /// Show the first batch of seed 0. With several `--steps`, their number goes into the name.
    #[arg(long, value_name = "FILE.png")]
    pub(crate) grid: Option<PathBuf>,
    /// Keep the statistics of reference images, with their recipe; with features, if a metric needs them. As .npz for EDM's
    /// programs and pytorch-fid, mean and covariance alone.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) save_reference: Option<PathBuf>,
}

impl Args {
    /// Whether the subject is a model: a single file of tensors. Everything else holds images.
    pub(crate) fn has_model(&self) -> bool {
        self.subject.extension().is_some_and(|extension| extension == "safetensors")
    }

    pub(crate) fn threads(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(cores)
    }

    /// The recipe by its name, and whatever makes no sense about the rest.
    pub(crate) fn check(&self) -> Result<Recipe> {
        ensure!(self.n >= 2 && self.batch > 0, "`--n` must be at least 2 and `--batch` at least 1");
        ensure!(
            self.seeds > 0 && self.threads() > 0,
            "`--seeds` and `--threads` must be at least 1"
        );
        let model = self.has_model();
        let of_model = self.grid.is_some() || !self.steps.is_empty() || self.seeds > 1;
        ensure!(
            model || !of_model,
            "`--steps`, `--seeds` and `--grid` are for models; images are as they are"
        );
        let sweep = self.plot.is_none() || self.steps.len() > 1;
        ensure!(sweep, "`--plot` draws over network evaluations; give several `--steps`");
        match &*self.recipe {
            CLASSIFIER => self.classifier(),
            name => Recipe::named(name).with_context(|| {
                let names = Recipe::NAMED.iter().map(|recipe| &*recipe.name);
                let names: Vec<_> = names.chain([CLASSIFIER]).collect();
                format!("there is no recipe `{name}`; there are {}", names.join(", "))
            }),
        }
    }

    /// The recipe of a classifier that was trained here: that of its own weights.
    fn classifier(&self) -> Result<Recipe> {
        let file = self.weights.as_deref();
        let file = file.with_context(|| {
            format!("`--recipe {CLASSIFIER}` needs the `--weights` of `08_mnist_classifier`")
        })?;
        Ok(LeNet::open(file, Device::Cpu)?.recipe(LeNetOutput::Features))
    }
}
