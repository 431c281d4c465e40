//! What the tensors are.

use super::preconditioning::{self, NO_DENOISERS};
use super::{Args, settings};
use anyhow::{Context, Result, bail, ensure};
use fewstep::unet::Architecture;
use fewstep::weights::{Detected, Family, Mapped, Object, TensorInfo};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::Write;

/// A network of a known family.
pub(crate) struct Network {
    family: Family,
    pub(crate) detected: Detected,
    preconditioning: Option<Value>,
    /// Of the weights, whatever they are renamed to.
    pub(crate) license: String,
}

impl Network {
    /// The family and its configuration: `--set`, then `--config`, then the arguments that built the network, then the
    /// tensors.
    pub(crate) fn detect(
        args: &Args,
        tensors: &[TensorInfo],
        object: Option<&Object>,
    ) -> Result<Self> {
        let family = match &args.arch {
            Some(name) => Family::load(name)?,
            None => Family::of(tensors)?,
        };
        let is_known = |(name, _): &(String, Value)| family.has_field(name);
        let arguments = object.map(|object| object.init_kwargs.clone()).unwrap_or_default();
        let mut given: Map<String, Value> = arguments.into_iter().filter(is_known).collect();
        let mut others = Map::new();
        if let Some(path) = &args.config {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let fields: Map<String, Value> = serde_json::from_str(&text)
                .with_context(|| format!("{} is no JSON object", path.display()))?;
            let (fields, unknown): (Map<_, _>, Map<_, _>) = fields.into_iter().partition(is_known);
            given.extend(fields);
            others = unknown;
        }
        given.extend(settings(args)?);
        let mut detected = family.read(tensors, &given)?;
        detected.config.extend(others); // that they change no number is for the network to say
        let (preconditioning, note) =
            preconditioning::find(args, tensors, &family, object, &detected)?;
        detected.notes.extend(note);
        let license = family.license().to_owned();
        Ok(Self { family, detected, preconditioning, license })
    }

    /// The same network under other names. What tensors tell of neither family stays.
    pub(crate) fn renamed(self, tensors: &[TensorInfo]) -> Result<Self> {
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
    pub(crate) fn describe(&self, report: &mut dyn Write, mapped: &Mapped) -> Result<()> {
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
        if let Some(preconditioning) = &self.preconditioning {
            writeln!(report, "evaluated in  {}", preconditioning::shown(preconditioning))?;
        }
        match self.fit(tensors) {
            Ok(fit) => writeln!(report, "outline       {fit}")?,
            Err(error) => writeln!(report, "outline       {error:#}")?,
        }
        for (field, value) in &self.detected.config {
            writeln!(report, "  {field:26} {value}")?;
        }
        self.detected.notes.iter().try_for_each(|note| writeln!(report, "note          {note}"))?;
        mapped.dropped().iter().try_for_each(|name| writeln!(report, "left out      {name}"))?;
        Ok(())
    }

    /// Whether what is written can be loaded: how the network fits the tensors, or what is wrong.
    pub(crate) fn fit(&self, tensors: &[TensorInfo]) -> Result<&'static str> {
        if NO_DENOISERS.contains(&self.family.name()) {
            return Ok("of a network that is no denoiser, which is checked when it is loaded");
        }
        let architecture: Architecture = serde_json::from_value(self.architecture())
            .context("the configuration is none of the architecture")?;
        let expected = architecture.state_dict().context("the network cannot be built")?;
        let same = |tensor: &TensorInfo, (name, shape): &(String, Vec<i64>)| {
            let sizes = tensor.shape.iter().map(|&n| n as i64);
            tensor.name == *name && sizes.eq(shape.iter().copied())
        };
        let is_missing = |row: &&(String, Vec<i64>)| !tensors.iter().any(|t| same(t, row));
        if let Some((name, shape)) = expected.iter().find(is_missing) {
            bail!("the network has a tensor {name} {shape:?}, which is not there");
        }
        let is_foreign =
            |t: &&TensorInfo| t.name != "u" && !expected.iter().any(|row| same(t, row));
        if let Some(tensor) = tensors.iter().find(is_foreign) {
            bail!(
                "there is a tensor {} {:?}, which the network has not",
                tensor.name,
                tensor.shape
            );
        }
        ensure!(
            self.preconditioning.is_some(),
            "nothing says how the network is preconditioned; say it with --preconditioning or --scheduler"
        );
        Ok("every tensor has its place")
    }

    fn architecture(&self) -> Value {
        let mut architecture = Map::from_iter([("kind".to_owned(), json!(self.family.kind()))]);
        architecture.extend(self.detected.config.clone());
        architecture.into()
    }

    /// The configuration of the model: its architecture, and its preconditioning if that is known.
    pub(crate) fn config(&self) -> Value {
        let mut config = json!({ "architecture": self.architecture() });
        if let Some(preconditioning) = &self.preconditioning {
            config["preconditioning"] = preconditioning.clone();
        }
        config
    }
}
