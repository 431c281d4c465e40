//! Turns a published file of weights into safetensors with a configuration, and says what it found.
//!
//! ```text
//! cargo run --release --example 05_import_checkpoint -- --help
//! cargo run --release --example 05_import_checkpoint -- edm-cifar10-32x32-cond-vp.pkl --dry-run
//! cargo run --release --example 05_import_checkpoint -- edm-cifar10-32x32-cond-vp.pkl --out teacher.safetensors
//! ```
//!
//! Nothing in the file is run. Expect a table with the architecture, its sizes and the license, a note for everything that
//! tensors do not tell, and, unless it is a dry run, the files `teacher.safetensors` and `teacher.json`. Which files are
//! published, and what to expect of each, is listed in `docs/checkpoints.md`.
//!
//! The exit status is 1 if `--list` finds a difference, and 2 if something is wrong.

#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a program for people

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use fewstep::diffusion_core::tensor_file;
use fewstep::weights::{
    self, Checkpoint, Detected, Dtype, Family, Mapped, NameMap, Problem, StateDictList, TensorInfo,
    open, write_safetensors,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Import published weights: .safetensors, .pt, .pth, .bin, .ckpt or .pkl become .safetensors and a configuration.
///
/// The architecture is told from names and shapes. What they do not tell, such as attention heads, is taken from a table of
/// published networks or asked for; the notes say which.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The published file. It is read as data; no code in it is run.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the weights go; the configuration goes beside them, with the ending `.json`.
    #[arg(long, value_name = "FILE.safetensors", required_unless_present_any = ["dry_run", "list"])]
    out: Option<PathBuf>,
    /// Only say what is in the file.
    #[arg(long)]
    dry_run: bool,
    /// The part of the file that is the network, such as `ema` [default: `ema` if there is one, else the only state dict]
    #[arg(long)]
    key: Option<String>,
    /// Type of the floating-point numbers that are written.
    #[arg(long, value_enum, default_value_t = Float::F32)]
    dtype: Float,
    /// The architecture, if it should not be told from the tensors; a wrong name lists all.
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// A field of the configuration as JSON: `num_heads=4`, `channel_mult=[1,2]`. Wins over what the tensors tell.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// A `config.json` of diffusers; its fields win over what the tensors tell.
    #[arg(long, value_name = "FILE.json")]
    config: Option<PathBuf>,
    /// Convert names, shapes and orders: a layout by name, or your own TOML file; a wrong name lists all. May be repeated.
    #[arg(long, value_name = "NAME or FILE.toml")]
    layout: Vec<String>,
    /// Compare with a list of a state dict (`name [sizes] type` a line) and print each difference; nothing is written if
    /// there is one.
    #[arg(long, value_name = "FILE.txt")]
    list: Option<PathBuf>,
    /// Replace files that are there already.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Float {
    F32,
    F16,
    Bf16,
    /// As in the file.
    Keep,
}

/// What official classes of preconditioning are called in a model's configuration.
const PRECONDITIONINGS: &[(&str, &str)] = &[
    ("EDMPrecond", "edm"),
    ("VPPrecond", "vp"),
    ("VEPrecond", "ve"),
    ("iDDPMPrecond", "iddpm"),
    ("GDDPrecond", "boundary"),
];

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args, &mut io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            let problem = error.downcast_ref::<weights::Error>().map(weights::Error::problem);
            if let Some(Problem::Names(_) | Problem::Detect(_)) = problem {
                eprintln!(
                    "give fields with --set FIELD=VALUE, the part of a file with --key, an architecture with --arch"
                );
            }
            ExitCode::from(2)
        }
    }
}

/// Imports a file. The report says what was found, even up to an error; `false` if it differs from the list.
pub(crate) fn run(args: &Args, report: &mut dyn Write) -> Result<bool> {
    check_targets(args)?;
    // 1. The network within the file, and how it was built, if the file knows.
    let file = open(&args.file)?;
    let (key, part) = section(&file, args.key.as_deref())?;
    let object = part.object("").ok();
    let class = object.as_ref().map(|object| object.class.clone());
    writeln!(report, "file          {} ({:?})", args.file.display(), file.format())?;
    let place = if key.is_empty() { "the whole file" } else { &key };
    writeln!(
        report,
        "network       {place}{}",
        class.iter().map(|c| format!(": {c}")).collect::<String>()
    )?;

    // 2. Names: what prefixes and old spellings hide, then what was asked for.
    let mut mapped = Mapped::new(part);
    for map in NameMap::automatic(mapped.tensors())? {
        writeln!(report, "layout        {}: {}", map.file(), map.description())?;
        mapped = mapped.apply(&map, &Map::new())?;
    }
    mapped = mapped.apply(&NameMap::load("identity")?, &Map::new())?;

    // 3. The architecture, before and after each layout. A layout may be what makes it known.
    let arguments = object.map(|object| object.init_kwargs).unwrap_or_default();
    let detect =
        |mapped: &Mapped| Network::detect(args, mapped.tensors(), class.as_deref(), &arguments);
    let mut network = detect(&mapped);
    for layout in &args.layout {
        let map = NameMap::load(layout)?;
        writeln!(report, "layout        {}: {}", map.file(), map.description())?;
        let config =
            network.as_ref().map_or_else(|_| settings(args), |n| Ok(n.detected.config.clone()))?;
        mapped = mapped.apply(&map, &config)?;
        network = network
            .and_then(|network| network.renamed(mapped.tensors()))
            .or_else(|_| detect(&mapped));
    }
    let network = match network {
        Err(error) if args.list.is_some() && args.out.is_none() => {
            writeln!(report, "note          {error:#}")?; // a list can be compared with anything
            None
        }
        network => Some(network?),
    };
    network.iter().try_for_each(|network| network.describe(report, &mapped))?;

    // 4. The list, and the files.
    if let Some(path) = &args.list {
        let differences = StateDictList::open(path)?.diff(mapped.tensors());
        differences.iter().try_for_each(|difference| writeln!(report, "{difference}"))?;
        writeln!(report, "differences from {}: {}", path.display(), differences.len())?;
        if !differences.is_empty() {
            return Ok(false);
        }
    }
    if let (Some(out), Some(network), false) = (&args.out, network, args.dry_run) {
        save(args, out, &mapped, &network)?;
        writeln!(report, "wrote         {} and {}", out.display(), beside(out).display())?;
    }
    Ok(true)
}

/// Refuses, before any work, to replace files that were not meant to be.
fn check_targets(args: &Args) -> Result<()> {
    let Some(out) = &args.out else { return Ok(()) };
    ensure!(
        out.extension().is_some_and(|extension| extension == "safetensors"),
        "`--out {}` must end in .safetensors",
        out.display()
    );
    for path in [out.clone(), beside(out)] {
        ensure!(args.force || !path.exists(), "{} exists; replace it with --force", path.display());
        let is_input = path.exists() && path.canonicalize()? == args.file.canonicalize()?;
        ensure!(!is_input, "{} is the file to import", path.display());
    }
    Ok(())
}

fn beside(out: &Path) -> PathBuf {
    out.with_extension("json")
}

/// The state dict that is meant, and its key.
fn section(file: &Checkpoint, key: Option<&str>) -> Result<(String, Checkpoint)> {
    if let Some(key) = key {
        return Ok((key.into(), file.within(key)?));
    }
    let sections: Vec<String> = file.sections().into_iter().map(str::to_owned).collect();
    let chosen = sections.iter().find(|name| *name == "ema");
    match (chosen, sections.as_slice()) {
        (Some(key), _) => Ok((key.clone(), file.within(key)?)),
        (None, []) => Ok((String::new(), file.clone())),
        (None, [only])
            if file.tensors().iter().all(|t| t.name.starts_with(&format!("{only}."))) =>
        {
            Ok((only.clone(), file.within(only)?))
        }
        _ => bail!(
            "{} holds several state dicts; choose one with --key: {}",
            file.path().display(),
            sections.join(", ")
        ),
    }
}

/// The fields that `--set` says.
fn settings(args: &Args) -> Result<Map<String, Value>> {
    let setting = |set: &String| {
        let (field, value) =
            set.split_once('=').with_context(|| format!("`--set {set}` is not FIELD=VALUE"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Ok((field.to_owned(), value))
    };
    args.set.iter().map(setting).collect()
}

/// What the tensors are.
struct Network {
    family: Family,
    detected: Detected,
    preconditioning: Option<&'static str>,
    /// Of the weights, whatever they are renamed to.
    license: String,
}

impl Network {
    /// The family and its configuration: `--set`, then `--config`, then the arguments that built the network, then the
    /// tensors.
    fn detect(
        args: &Args,
        tensors: &[TensorInfo],
        class: Option<&str>,
        arguments: &Map<String, Value>,
    ) -> Result<Self> {
        let family = match &args.arch {
            Some(name) => Family::load(name)?,
            None => Family::of(tensors)?,
        };
        let known = |fields: Map<String, Value>| {
            fields.into_iter().filter(|(name, _)| family.has_field(name))
        };
        let mut given: Map<String, Value> = known(arguments.clone()).collect();
        if let Some(path) = &args.config {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let fields = serde_json::from_str(&text)
                .with_context(|| format!("{} is no JSON object", path.display()))?;
            given.extend(known(fields));
        }
        given.extend(settings(args)?);
        let mut detected = family.read(tensors, &given)?;
        let (preconditioning, note) = preconditioning(tensors, family.name(), class);
        detected.notes.extend(note);
        let license = family.license().to_owned();
        Ok(Self { family, detected, preconditioning, license })
    }

    /// The same network under other names. What tensors tell of neither family stays.
    fn renamed(self, tensors: &[TensorInfo]) -> Result<Self> {
        let family = Family::of(tensors)?;
        if family.name() == self.family.name() {
            return Ok(self);
        }
        let is_kept = |field: &str| family.has_field(field) && !family.reads_field(field);
        let kept = self.detected.config.into_iter().filter(|(field, _)| is_kept(field)).collect();
        let mut detected = family.read(tensors, &kept)?;
        detected.notes.retain(|note| !note.ends_with("as given")); // it was noted where it was given
        detected.notes.splice(0..0, self.detected.notes);
        Ok(Self { family, detected, ..self })
    }

    /// The table.
    fn describe(&self, report: &mut dyn Write, mapped: &Mapped) -> Result<()> {
        let (tensors, family) = (mapped.tensors(), &self.family);
        let values: usize = tensors.iter().map(TensorInfo::numel).sum();
        let bytes: usize = tensors.iter().map(TensorInfo::n_bytes).sum();
        let types: BTreeSet<_> = tensors.iter().map(|tensor| tensor.dtype.to_string()).collect();
        let (size, types) = (bytes as f64 / (1 << 20) as f64, Vec::from_iter(types).join(", "));
        writeln!(report, "architecture  {}, {}", family.name(), family.title())?;
        writeln!(report, "tensors       {}", tensors.len())?;
        writeln!(report, "values        {values}")?;
        writeln!(report, "size          {size:.1} MiB of {types}")?;
        writeln!(report, "license       {}", self.license)?;
        for (field, value) in &self.detected.config {
            writeln!(report, "  {field:26} {value}")?;
        }
        self.detected.notes.iter().try_for_each(|note| writeln!(report, "note          {note}"))?;
        mapped.dropped().iter().try_for_each(|name| writeln!(report, "left out      {name}"))?;
        Ok(())
    }

    /// The configuration of the model: its architecture, and its preconditioning if that is known.
    fn config(&self) -> Value {
        let mut architecture = Map::from_iter([("kind".to_owned(), json!(self.family.name()))]);
        architecture.extend(self.detected.config.clone());
        let mut config = json!({ "architecture": architecture });
        if let Some(kind) = self.preconditioning {
            config["preconditioning"] = json!({ "kind": kind });
        }
        config
    }
}

/// The preconditioning, and a note if the file does not name its class: EDM's for networks with EDM's names alone.
fn preconditioning(
    tensors: &[TensorInfo],
    family: &str,
    class: Option<&str>,
) -> (Option<&'static str>, Option<String>) {
    if let Some((_, kind)) = PRECONDITIONINGS.iter().find(|(name, _)| class == Some(*name)) {
        return (Some(*kind), None);
    }
    let has_table = tensors.iter().any(|tensor| tensor.name == "u");
    let (kind, reason) = match family {
        "song-unet" | "dhariwal-unet" if has_table => (Some("iddpm"), "because of its table `u`"),
        "song-unet" | "dhariwal-unet" if class.is_none() => (Some("edm"), "by default"),
        _ => (None, "which the file does not say; add it to the configuration"),
    };
    (kind, Some(format!("preconditioning = {}, {reason}", kind.unwrap_or("unknown"))))
}

/// Writes the weights and the configuration, or nothing.
fn save(args: &Args, out: &Path, mapped: &Mapped, network: &Network) -> Result<()> {
    let target = match args.dtype {
        Float::F32 => Some(Dtype::F32),
        Float::F16 => Some(Dtype::F16),
        Float::Bf16 => Some(Dtype::BF16),
        Float::Keep => None,
    };
    let mut tensors = mapped.tensors().to_vec();
    for tensor in tensors.iter_mut().filter(|tensor| tensor.dtype.is_float()) {
        tensor.dtype = target.unwrap_or(tensor.dtype);
    }
    let total: usize = tensors.iter().map(TensorInfo::n_bytes).sum();
    let bar = ProgressBar::new(total as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {eta} left")?);
    let config = serde_json::to_string_pretty(&network.config())?;
    let source = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let metadata = BTreeMap::from([
        ("config".to_owned(), config.clone()),
        ("license".to_owned(), network.license.clone()),
        ("source".to_owned(), source.unwrap_or_default()),
    ]);
    write_safetensors(out, &tensors, &metadata, |tensor| {
        let data = mapped.read(&tensor.name)?;
        let data = if data.dtype == tensor.dtype {
            data
        } else {
            data.cast(tensor.dtype).expect("a float type")
        };
        bar.inc(data.bytes.len() as u64);
        Ok(data.bytes)
    })?;
    bar.finish_and_clear();
    let json = tensor_file::write_bytes(&beside(out), format!("{config}\n").as_bytes());
    if json.is_err() {
        let _ = std::fs::remove_file(out); // half of the result is none
    }
    Ok(json?)
}
