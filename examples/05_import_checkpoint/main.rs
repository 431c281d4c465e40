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

mod files;
mod network;
mod preconditioning;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use fewstep::weights::{self, Checkpoint, Mapped, NameMap, Problem, StateDictList, open};
use files::{beside, check_targets, save};
use network::Network;
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::path::PathBuf;
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
    /// A `scheduler_config.json` of diffusers, which says how the network is preconditioned.
    #[arg(long, value_name = "FILE.json", conflicts_with = "preconditioning")]
    scheduler: Option<PathBuf>,
    /// How the network is preconditioned: `edm`, `boundary`, `vp`, `ve`, `iddpm`, `discrete`, or settings as JSON:
    /// `{"kind":"boundary","sigma_min":0.002}`.
    #[arg(long, value_name = "KIND or JSON")]
    preconditioning: Option<String>,
    /// Convert names, shapes and orders: a layout by name, or your own TOML file; a wrong name lists all. May be repeated.
    #[arg(long, value_name = "NAME or FILE.toml")]
    layout: Vec<String>,
    /// Compare with a list of a state dict (`name [sizes] type` a line) and print each difference; nothing is written if
    /// there is one.
    #[arg(long, value_name = "FILE.txt")]
    list: Option<PathBuf>,
    /// Write the files even if the network cannot be loaded from them: tensors are missing or left over, a field is
    /// wrong, or the preconditioning is not known.
    #[arg(long)]
    partial: bool,
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
    let class = object.as_ref().map(|object| &object.class);
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
    let detect = |mapped: &Mapped| Network::detect(args, mapped.tensors(), object.as_ref());
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
        if !args.partial {
            let hint = "nothing was written; `--partial` writes what cannot be loaded, too";
            network.fit(mapped.tensors()).context(hint)?;
        }
        save(args, out, &mapped, &network)?;
        writeln!(report, "wrote         {} and {}", out.display(), beside(out).display())?;
    }
    Ok(true)
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
