//! `kid`, `cmmd`: distances by kernels.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::{KernelDistance, KernelSubsets, cmmd};
use serde::Deserialize;
use tch::Tensor;
use testkit::GoldenCase;

/// The official code computes in `f32`.
const SINGLE: Tolerance = Tolerance::Absolute(2e-5);
const DOUBLE: Tolerance = Tolerance::Relative(1e-10);

#[derive(Deserialize)]
struct Config {
    rng_seed: u32,
    subset_size: i64,
    subsets: i64,
}

pub(super) fn replay_kid(case: &GoldenCase) -> Result<Replayed> {
    let config: Config = serde_json::from_value(case.description().clone())?;
    let (a, b) = (case.tensor("features_a")?, case.tensor("features_b")?);
    let mut replayed = Replayed::default();
    replayed.given(["features_a", "features_b", "sg_index_generated", "sg_index_real"]);

    let (n, m) = (a.size()[0], b.size()[0]);
    let Config { subsets, subset_size, rng_seed } = config;
    let drawn = KernelSubsets::torch_fidelity(n, m, subsets, subset_size, rng_seed)?;
    for (name, side) in [("tf_index_a", 0), ("tf_index_b", 1)] {
        let rows: Vec<i64> = drawn.rows().iter().flat_map(|pair| pair[side].clone()).collect();
        let rows = Tensor::from_slice(&rows).view([subsets, subset_size]);
        replayed.insert_within(Tolerance::Relative(0.0), name, rows);
    }
    let torch_fidelity = KernelDistance::of(a, b, &drawn)?;

    let (real, generated) = (rows(case, "sg_index_real")?, rows(case, "sg_index_generated")?);
    let pairs = real.into_iter().zip(generated).map(|(real, generated)| [real, generated]);
    let style_gan = KernelDistance::of(a, b, &KernelSubsets::of_rows(pairs.collect()))?;

    for (precision, tolerance) in [("f64", DOUBLE), ("f32", SINGLE)] {
        let mut insert = |name: &str, value: Tensor| {
            replayed.insert_within(tolerance, format!("{name}_{precision}"), value);
        };
        insert("tf_subset_values", Tensor::from_slice(&torch_fidelity.values));
        insert("tf_mean", torch_fidelity.mean.into());
        insert("tf_std", torch_fidelity.deviation.into());
        insert("sg_kid", style_gan.mean.into());
    }
    Ok(replayed)
}

/// The rows of every subset.
fn rows(case: &GoldenCase, name: &str) -> Result<Vec<Vec<i64>>> {
    Ok(Vec::<Vec<i64>>::try_from(case.tensor(name)?)?)
}

pub(super) fn replay_cmmd(case: &GoldenCase) -> Result<Replayed> {
    let value = cmmd(case.tensor("x")?, case.tensor("y")?)?;
    let mut replayed = Replayed::default();
    replayed.given(["x", "y"]);
    replayed.insert_within(Tolerance::Absolute(1e-9), "cmmd_f64", value);
    replayed.insert_within(Tolerance::Absolute(5e-3), "cmmd_f32", value);
    Ok(replayed)
}
