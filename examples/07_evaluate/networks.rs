//! The networks of a run.

use super::args::Args;
use super::judge::{Judge, needs_network};
use super::reference;
use super::wanted::Wanted;
use anyhow::{Context, Result, bail};
use fewstep::backbones::{Inception, Lpips, LpipsFlavor, Vgg16, recipe_features, weight_file};
use fewstep::metrics::Recipe;
use fewstep::prelude::*;
use std::cell::OnceCell;
use std::path::Path;

/// The networks and the reference that the wanted numbers need.
pub(crate) fn load(
    args: &Args,
    recipe: &Recipe,
    wanted: &[Wanted],
    device: Device,
) -> Result<Judge> {
    let mut judge = Judge {
        recipe: recipe.clone(),
        features: None,
        reference: None,
        gaussian: OnceCell::new(),
        head: None,
        lpips: None,
        pairs: args.pairs,
        device,
    };
    if wanted.contains(&Wanted::LpipsDiversity) {
        judge.lpips = Some(lpips(args, device)?);
    }
    let statistics: Vec<_> = wanted.iter().filter_map(|wanted| wanted.statistic()).collect();
    let compares = !statistics.is_empty() || args.save_reference.is_some();
    if !compares && !needs_network(wanted) {
        return Ok(judge);
    }
    let weights = match &args.weights {
        Some(path) => path.clone(),
        None => weight_file(recipe)?.in_cache()?,
    };
    let features = recipe_features(recipe.clone(), &weights, device)?;
    if wanted.iter().any(|wanted| matches!(wanted, Wanted::Score(_))) {
        judge.head = head(recipe, &weights, device)?;
    }
    if compares {
        let path = args.reference.as_deref();
        let path = path.context("give real images or their statistics with `--reference`")?;
        let keep_features = statistics.iter().any(|statistic| statistic.needs_features());
        let reference = reference::load(path, args, &features, keep_features, device)?;
        reference.require(recipe, &statistics)?;
        judge.reference = Some(reference);
    }
    judge.features = Some(features);
    Ok(judge)
}

/// What makes the outputs of an Inception Score of a recipe's features.
fn head(recipe: &Recipe, weights: &Path, device: Device) -> Result<Option<Inception>> {
    let score = Recipe::INCEPTION_SCORE;
    match (recipe.network == score.network, &*recipe.output) {
        (true, "pool3") => Ok(Some(Inception::open(weights, device)?)),
        (true, output) if output == score.output => Ok(None),
        _ => bail!(
            "the Inception Score needs Inception; `{}` is made with {}",
            recipe.name,
            recipe.network
        ),
    }
}

fn lpips(args: &Args, device: Device) -> Result<Lpips> {
    let vgg = match &args.lpips_vgg {
        Some(path) => path.clone(),
        None => Vgg16::TORCHVISION.in_cache()?,
    };
    let heads = match &args.lpips_heads {
        Some(path) => path.clone(),
        None => Lpips::HEADS.in_cache()?,
    };
    Ok(Lpips::open(&vgg, &heads, LpipsFlavor::Package, device)?)
}
