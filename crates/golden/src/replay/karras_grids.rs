//! `karras_grids`: the levels that samplers visit.

use super::{Replayed, config};
use crate::Result;
use diffusion_schedule::{Grid, KarrasGrid};
use tch::Tensor;
use testkit::GoldenCase;

/// A row of the configuration: number of levels, `sigma_min`, `sigma_max`, `rho`.
type Row = (f64, f64, f64, f64);

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let rows: Vec<Row> = config(case, &[])?;
    let mut replayed = Replayed::default();
    for name in case.outputs() {
        let Some(row) = row_of(name).filter(|row| rows.contains(row)) else { continue };
        let (steps, sigma_min, sigma_max, rho) = row;
        let sigmas = KarrasGrid { sigma_min, sigma_max, rho }.sigmas(steps as usize);
        replayed.insert(name, Tensor::from_slice(&sigmas));
    }
    Ok(replayed)
}

/// The row that the name of a result spells, as in `out.sigmas_n5_min0.02_max50_rho5`.
fn row_of(name: &str) -> Option<Row> {
    let (n, rest) = name.strip_prefix("out.sigmas_n")?.split_once("_min")?;
    let (min, rest) = rest.split_once("_max")?;
    let (max, rho) = rest.split_once("_rho")?;
    Some((n.parse().ok()?, min.parse().ok()?, max.parse().ok()?, rho.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_numbers() {
        assert_eq!(row_of("out.sigmas_n5_min2e-05_max50.0_rho5"), Some((5.0, 2e-5, 50.0, 5.0)));
        assert_eq!(row_of("out.sigmas_n5_min_max50_rho5"), None);
    }
}
