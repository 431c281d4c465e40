//! What is written, and what is not overwritten.

use super::{Args, Float, Network};
use anyhow::{Result, ensure};
use fewstep::diffusion_core::tensor_file;
use fewstep::weights::{Dtype, Mapped, TensorInfo, write_safetensors};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Refuses, before any work, to replace files that were not meant to be.
pub(crate) fn check_targets(args: &Args) -> Result<()> {
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

/// Where the configuration goes.
pub(crate) fn beside(out: &Path) -> PathBuf {
    out.with_extension("json")
}

/// Writes the weights and the configuration, or nothing.
pub(crate) fn save(args: &Args, out: &Path, mapped: &Mapped, network: &Network) -> Result<()> {
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
