//! The real images.

use super::args::Args;
use super::images::{Files, Generated, ImageSet};
use anyhow::{Result, ensure};
use fewstep::backbones::PublishedFeatures;
use fewstep::datasets::NpzImages;
use fewstep::metrics::{Error, GaussianStats, ReferenceProblem, ReferenceStats};
use fewstep::prelude::*;
use std::path::Path;

/// Where the latents of a model as a reference come from: none of the seeds of a model that is measured.
const SEED: u64 = u64::MAX;

/// The statistics of the images at `path`, read or computed; with features, if they are needed and can be had.
pub(crate) fn load(
    path: &Path,
    args: &Args,
    extractor: &PublishedFeatures,
    keep_features: bool,
    device: Device,
) -> Result<ReferenceStats> {
    let recipe = extractor.recipe();
    let stats = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => match ReferenceStats::read_npz(path, recipe.clone()) {
            Err(Error::Reference { problem, .. }) if no_moments(&problem, path) => {
                of_files(path, args, extractor, keep_features)?
            }
            // ADM's files have statistics of many images and pixels of some.
            Ok(stats) if keep_features && NpzImages::has_images(path)? => {
                let images = of_files(path, args, extractor, true)?;
                ReferenceStats { features: images.features, ..stats }
            }
            read => read?,
        },
        Some("safetensors") => match ReferenceStats::read_safetensors(path) {
            Err(Error::Reference { problem, .. }) if no_statistics(&problem) => {
                of_model(path, args, extractor, keep_features, device)?
            }
            read => read?,
        },
        _ => of_files(path, args, extractor, keep_features)?,
    };
    recipe.require_same(&stats.recipe)?;
    if let Some(to) = &args.save_reference {
        let computed = stats.count.is_some();
        ensure!(
            computed,
            "`--save-reference` keeps what was computed of images; {} holds statistics",
            path.display()
        );
        match to.extension().is_some_and(|extension| extension == "npz") {
            true => stats.write_npz(to)?,
            false => stats.write_safetensors(to)?,
        }
    }
    Ok(stats)
}

/// Whether a file of tensors is a model instead.
fn no_statistics(problem: &ReferenceProblem) -> bool {
    matches!(problem, ReferenceProblem::NoMetadata { .. })
}

/// Whether an archive has images instead of statistics.
fn no_moments(problem: &ReferenceProblem, path: &Path) -> bool {
    matches!(problem, ReferenceProblem::Missing { name: "mu", .. })
        && NpzImages::has_images(path).unwrap_or(false)
}

fn of_files(
    path: &Path,
    args: &Args,
    extractor: &PublishedFeatures,
    keep_features: bool,
) -> Result<ReferenceStats> {
    let files = Files::open("reference", path, usize::MAX, args.threads())?;
    of_images(&files, args, extractor, keep_features)
}

/// The statistics of what a model makes with its own sampler: as many images as are measured.
fn of_model(
    path: &Path,
    args: &Args,
    extractor: &PublishedFeatures,
    keep_features: bool,
    device: Device,
) -> Result<ReferenceStats> {
    let (network, model) = unet::load(path, device)?;
    network.prepare();
    let generator = Sampling::new(&network, model.sampler.clone().unwrap_or_default().build()?);
    let bytes = extractor.recipe().bytes;
    let images = Generated::of(&generator, &model.architecture, args.n, SEED, bytes, device)?;
    let stats = of_images(&images, args, extractor, keep_features)?;
    let origin = format!("{} images of the model {}", args.n, path.display());
    Ok(ReferenceStats { origin, ..stats })
}

fn of_images(
    images: &dyn ImageSet,
    args: &Args,
    extractor: &PublishedFeatures,
    keep_features: bool,
) -> Result<ReferenceStats> {
    let recipe = extractor.recipe();
    let (mut stats, mut kept) = (GaussianStats::new(recipe.dim), Vec::new());
    images.each(args.batch, &mut |bytes| {
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
