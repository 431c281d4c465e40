//! The real images.

use super::args::Args;
use super::images::{Files, ImageSet};
use anyhow::{Result, ensure};
use fewstep::backbones::PublishedFeatures;
use fewstep::datasets::NpzImages;
use fewstep::metrics::{Error, GaussianStats, ReferenceProblem, ReferenceStats};
use fewstep::prelude::*;
use std::path::Path;

/// The statistics of the real images at `path`, read or computed; with features, if they are needed and can be had.
pub(crate) fn load(
    path: &Path,
    args: &Args,
    extractor: &PublishedFeatures,
    keep_features: bool,
) -> Result<ReferenceStats> {
    let recipe = extractor.recipe();
    let stats = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => match ReferenceStats::read_npz(path, recipe.clone()) {
            Err(Error::Reference { problem, .. }) if no_moments(&problem, path) => {
                of_images(path, args, extractor, keep_features)?
            }
            // ADM's files have statistics of many images and pixels of some.
            Ok(stats) if keep_features && NpzImages::has_images(path)? => {
                let images = of_images(path, args, extractor, true)?;
                ReferenceStats { features: images.features, ..stats }
            }
            read => read?,
        },
        Some("safetensors") => ReferenceStats::read_safetensors(path)?,
        _ => of_images(path, args, extractor, keep_features)?,
    };
    recipe.require_same(&stats.recipe)?;
    if let Some(to) = &args.save_reference {
        let computed = stats.count.is_some();
        ensure!(
            computed,
            "`--save-reference` keeps what was computed of images; {} holds statistics",
            path.display()
        );
        stats.write_safetensors(to)?;
    }
    Ok(stats)
}

/// Whether an archive has images instead of statistics.
fn no_moments(problem: &ReferenceProblem, path: &Path) -> bool {
    matches!(problem, ReferenceProblem::Missing { name: "mu", .. })
        && NpzImages::has_images(path).unwrap_or(false)
}

fn of_images(
    path: &Path,
    args: &Args,
    extractor: &PublishedFeatures,
    keep_features: bool,
) -> Result<ReferenceStats> {
    let files = Files::open("reference", path, usize::MAX, args.threads())?;
    let recipe = extractor.recipe();
    let (mut stats, mut kept) = (GaussianStats::new(recipe.dim), Vec::new());
    files.each(args.batch, &mut |bytes| {
        let features = extractor.features_of_bytes(&bytes)?.to_device(Device::Cpu);
        stats.update(&features)?;
        if keep_features {
            kept.push(features.to_kind(Kind::Float));
        }
        Ok(())
    })?;
    let reference = ReferenceStats::of(&stats, recipe.clone())?;
    match keep_features {
        true => Ok(reference.with_features(&Tensor::cat(&kept, 0))?),
        false => Ok(reference),
    }
}
