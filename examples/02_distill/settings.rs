//! Settings in layers.

use super::evaluation::EvaluationSettings;
use anyhow::{Context, Result, bail};
use clap::Parser;
use fewstep::datasets::ImageSource;
use fewstep::distill_trainer::{Precision, Resume, settings};
use fewstep::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Train a teacher and distill it to one step.
///
/// Settings come in layers: defaults, a TOML file (--config), flags, KEY=VALUE pairs. A key is a long flag with `_`
/// for `-`, or belongs to one of these tables: `network.*` (the U-Net of a new teacher), `teacher_run.*` and
/// `student_run.*` (learning rates, averages, ... of the two runs), `options.*` (the method's own), `evaluation.*` (how good
/// the student is while it learns). --print-config shows all keys with their values.
#[derive(Debug, Clone, Parser, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flags {
    /// Pictures: a folder or zip of images, an EDM zip, CIFAR-10 or MNIST files; `shapes` is built in.
    #[arg(long, default_value = "shapes")]
    pub(crate) data: PathBuf,
    /// Resize pictures to this many pixels a side; 0 keeps their size.
    #[arg(long, default_value_t = 0)]
    pub(crate) size: u32,
    /// Turn pictures grey [default: off].
    #[arg(long)]
    pub(crate) grey: bool,
    /// Mirror half of the training pictures [default: off].
    #[arg(long)]
    pub(crate) flip: bool,
    /// The distillation method (see --list-methods).
    #[arg(long, default_value = "sid")]
    pub(crate) method: String,
    /// A saved teacher (`model.safetensors`), or `train` for a new one.
    #[arg(long, default_value = "train")]
    pub(crate) teacher: String,
    /// Thousands of images that a new teacher is trained on.
    #[arg(long, default_value_t = 64.0)]
    pub(crate) teacher_kimg: f64,
    /// Thousands of images of the distillation.
    #[arg(long, default_value_t = 64.0)]
    pub(crate) kimg: f64,
    /// Images of one step, in both runs, of all processes together.
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// Arithmetic of the networks: `f32`, `bf16`, or `auto`: bf16 where the hardware gains by it.
    #[arg(long, default_value = "auto")]
    pub(crate) precision: String,
    /// Keep only the inputs of the network's blocks for backward passes and compute the rest again: less memory, about a
    /// third more time, the same numbers [default: off].
    #[arg(long)]
    pub(crate) recompute: bool,
    /// `auto`, `cpu`, `cuda` or `cuda:N`; processes of one machine take one CUDA device each unless N is given.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Settings of the optimizers: `short` for runs of up to 1,000 kimg, `published` for the papers' own.
    #[arg(long, default_value = "short")]
    pub(crate) recipe: String,
    /// Thousands of images that the short recipe's schedules of a method are made for (`ct`: levels, `ect`: stages); 0 means
    /// --kimg, or what the run that is resumed was begun with. A run that is made longer so keeps its schedules: they go
    /// on beyond their end by their own formulas. Decays of the learning rate stretch to the new length.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) schedule_kimg: f64,
    /// Pictures that each sampler makes for the comparison at the end.
    #[arg(long, default_value_t = 1024)]
    pub(crate) evaluate: usize,
    /// Where everything goes.
    #[arg(long, default_value = "runs/distill")]
    pub(crate) out: PathBuf,
    /// What to do besides the settings.
    #[command(flatten)]
    #[serde(skip)]
    pub(crate) action: Action,
}

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Action {
    /// Go on with the run in the output folder: `auto` (or nothing) from the newest good checkpoint, or from the start if
    /// there is none; `must` only if there is one; PATH from the checkpoint in that folder; `never` starts a new run.
    #[arg(
        long,
        value_name = "auto|must|never|PATH",
        num_args = 0..=1,
        require_equals = true,
        default_value = "never",
        default_missing_value = "auto"
    )]
    pub(crate) resume: Resume,
    /// Say what memory and disk the runs take, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// List the methods and stop.
    #[arg(long)]
    pub(crate) list_methods: bool,
    /// Show the settings of this run as TOML and stop.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Single settings, such as `network.model_channels=64` or `options.alpha=1.0`.
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) pairs: Vec<String>,
}

/// Defaults, below the file, below the flags that were given, below the pairs.
pub(crate) fn layered(flags: &Flags, given: impl Fn(&str) -> bool) -> Result<toml::Table> {
    let mut layers = toml::Table::try_from(Flags::parse_from(["02_distill"]))?;
    if let Some(path) = &flags.action.config {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        settings::merge(&mut layers, text.parse().with_context(|| format!("{shown} is no TOML"))?);
    }
    let flags_given = toml::Table::try_from(flags)?.into_iter().filter(|(key, _)| given(key));
    settings::merge(&mut layers, flags_given.collect());
    for pair in &flags.action.pairs {
        settings::merge(&mut layers, settings::assignment(pair)?);
    }
    Ok(layers)
}

/// Takes the table `key` out of the layers and lays it on its defaults.
pub(crate) fn take<T: Serialize + DeserializeOwned>(
    layers: &mut toml::Table,
    key: &str,
    defaults: &T,
) -> Result<T> {
    let mut table = toml::Table::try_from(defaults)?;
    if let Some(over) = layers.remove(key) {
        let over = over.try_into().with_context(|| format!("`{key}` must be a table"))?;
        settings::merge(&mut table, over);
    }
    table.try_into().with_context(|| format!("in the settings `{key}`"))
}

/// Everything that decides a run.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    #[serde(flatten)]
    pub(crate) flags: Flags,
    pub(crate) network: SongUnetConfig,
    pub(crate) teacher_run: TrainConfig,
    pub(crate) student_run: TrainConfig,
    pub(crate) options: toml::Table,
    pub(crate) evaluation: EvaluationSettings,
}

/// The flags among the layers, and the tables.
pub(crate) fn split(mut layers: toml::Table) -> Result<(Flags, toml::Table)> {
    let tables = ["network", "teacher_run", "student_run", "options", "evaluation"];
    let tables = tables.iter().filter_map(|key| layers.remove_entry(*key)).collect();
    Ok((layers.try_into().context("in the settings")?, tables))
}

impl Settings {
    pub(crate) fn new(
        mut flags: Flags,
        mut tables: toml::Table,
        data: &dyn ImageSource,
        resume: &Resume,
    ) -> Result<Self> {
        let entry = method(&flags.method)?;
        let network = take(&mut tables, "network", &small_network(data))?;
        let teacher_run = flags.run("teacher", flags.teacher_kimg)?;
        let teacher_run = take(&mut tables, "teacher_run", &teacher_run)?;
        let evaluation = take(&mut tables, "evaluation", &EvaluationSettings::default())?;
        evaluation.check()?;
        let mut student_run = flags.run(&flags.method, flags.kimg)?;
        if !evaluation.keep_best.is_empty() {
            student_run.checkpoint_kimg = evaluation.every_kimg; // what was measured can be kept
        }
        let student_run = take(&mut tables, "student_run", &student_run)?;
        if flags.schedule_kimg <= 0.0 {
            flags.schedule_kimg = begun_with(&flags.out, resume)?.unwrap_or(student_run.kimg);
        }
        let mut options = (entry.options)();
        if flags.recipe == "short" {
            let kimg = flags.schedule_kimg;
            let images = TrainConfig { kimg, ..student_run.clone() }.total_images();
            let steps = images / student_run.batch as u64;
            settings::merge(&mut options, (entry.short_options)(kimg, steps));
        }
        let options = take(&mut tables, "options", &options)?;
        Ok(Self { flags, network, teacher_run, student_run, options, evaluation })
    }
}

impl Flags {
    /// The settings of a run of the method `name`, as far as flags decide them.
    fn run(&self, name: &str, kimg: f64) -> Result<TrainConfig> {
        let entry = method(name)?;
        let roles = match self.recipe.as_str() {
            "short" => (entry.short_run)(),
            "published" => (entry.published)(),
            other => bail!("recipe `{other}` is neither `short` nor `published`"),
        };
        let precision = toml::Value::from(self.precision.clone());
        let precision: Precision = precision.try_into().with_context(|| {
            format!("precision `{}` is none of `auto`, `f32`, `bf16`", self.precision)
        })?;
        let config = TrainConfig {
            batch: self.batch,
            kimg,
            seed: self.seed,
            tick_kimg: (kimg / 20.0).max(0.1),
            checkpoint_kimg: (kimg / 4.0).max(0.1),
            precision,
            roles,
            ..TrainConfig::default()
        };
        config.validate()?;
        Ok(config)
    }
}

/// A U-Net that two cores can train: 32 channels, down to 8 pixels or so, with attention there.
pub(crate) fn small_network(data: &dyn ImageSource) -> SongUnetConfig {
    let (channels, _, size) = data.shape();
    let mut lowest = i64::from(size);
    let mut channel_mult = vec![1];
    while lowest > 8 && lowest % 2 == 0 {
        lowest /= 2;
        channel_mult.push(2);
    }
    SongUnetConfig {
        img_resolution: size.into(),
        img_channels: channels.into(),
        label_dim: data.classes() as i64,
        model_channels: 32,
        channel_mult,
        num_blocks: 1,
        attn_resolutions: vec![lowest],
        dropout: 0.0,
        ..SongUnetConfig::default()
    }
}

/// What the schedules of the run in `out` were made for, if it is to go on.
fn begun_with(out: &Path, resume: &Resume) -> Result<Option<f64>> {
    let path = out.join("settings.toml");
    if *resume == Resume::Never || !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let settings: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    Ok(settings.get("schedule_kimg").and_then(toml::Value::as_float))
}
