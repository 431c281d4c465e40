//! `precision_recall`: shares of samples in balls around others.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::{Boundary, DensityCoverage, PrecisionRecall, neighbor_radii};
use serde::Deserialize;
use testkit::GoldenCase;

#[derive(Deserialize)]
struct Config {
    k: Vec<i64>,
}

const EXACT: Tolerance = Tolerance::Absolute(1e-12);
/// Features and distances in half precision move a few samples.
const HALF: Tolerance = Tolerance::Absolute(0.03);

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let (real, fake) = (case.tensor("features_real")?, case.tensor("features_fake")?);
    let mut replayed = Replayed::default();
    replayed.given(["features_real", "features_fake"]);
    let config: Config = serde_json::from_value(case.description().clone())?;
    for k in config.k {
        let mut insert = |tolerance, name: &str, value: f64| {
            replayed.insert_within(tolerance, format!("k{k}.{name}"), value);
        };
        let closed = PrecisionRecall::of(real, fake, k, Boundary::Inside)?;
        for (program, tolerance) in [("", EXACT), ("adm_", EXACT), ("stylegan_fp16_", HALF)] {
            insert(tolerance, &format!("{program}precision"), closed.precision);
            insert(tolerance, &format!("{program}recall"), closed.recall);
        }
        let open = PrecisionRecall::of(real, fake, k, Boundary::Outside)?;
        insert(EXACT, "prdc_precision", open.precision);
        insert(EXACT, "prdc_recall", open.recall);
        let DensityCoverage { density, coverage } = DensityCoverage::of(real, fake, k)?;
        insert(EXACT, "prdc_density", density);
        insert(EXACT, "prdc_coverage", coverage);
        let radii = Tolerance::Relative(1e-6);
        let real = neighbor_radii(real, k)?;
        replayed.insert_within(radii, format!("k{k}.adm_radii_real"), real.square());
        replayed.insert_within(radii, format!("k{k}.radii_real"), real);
        replayed.insert_within(radii, format!("k{k}.radii_fake"), neighbor_radii(fake, k)?);
    }
    Ok(replayed)
}
