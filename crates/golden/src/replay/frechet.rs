//! `fid`, `fid_edm`, `fd_infinity`: moments of features and distances between them.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::{
    ByteScale, Divisor, FdInfinity, FrechetReference, GaussianStats, edm_subset, fd_infinity_sizes,
    frechet_distance, frechet_distance_of_moments,
};
use tch::{Kind, Tensor};
use testkit::GoldenCase;

/// Distances with the divisor N - 1, by program.
const PROGRAMS: [&str; 6] =
    ["fid_edm", "fid_eigh", "fid_pytorch_fid", "fid_cleanfid", "fid_dgm", "fid_dgm_efficient"];

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let real = GaussianStats::of(case.tensor("features_real")?)?;
    let fake = GaussianStats::of(case.tensor("features_fake")?)?;
    let is_singular = real.count().min(fake.count()) <= real.dim();
    let tolerance = Tolerance::Relative(if is_singular { 1e-7 } else { 1e-10 });
    let mut replayed = Replayed::default();
    replayed.given(["features_real", "features_fake"]);
    for (side, stats) in [("real", &real), ("fake", &fake)] {
        insert_moments(&mut replayed, Tolerance::Relative(1e-12), side, stats)?;
        let trace = stats.covariance()?.trace();
        replayed.insert_within(tolerance, format!("trace_{side}"), trace);
    }
    let distance = frechet_distance(&real, &fake)?;
    for program in PROGRAMS {
        replayed.insert_within(tolerance, program, distance);
    }
    let population = frechet_distance_of_moments(
        &real.mean()?,
        &real.covariance_by(Divisor::Population)?,
        &fake.mean()?,
        &fake.covariance_by(Divisor::Population)?,
    )?;
    replayed.insert_within(tolerance, "fid_stylegan2ada", population);
    let mean_term = (real.mean()? - fake.mean()?).square().sum(Kind::Double);
    replayed.insert_within(tolerance, "mean_term", mean_term);
    Ok(replayed)
}

fn insert_moments(
    replayed: &mut Replayed,
    tolerance: Tolerance,
    side: &str,
    stats: &GaussianStats,
) -> Result<()> {
    replayed.insert_within(tolerance, format!("mu_{side}"), stats.mean()?);
    replayed.insert_within(tolerance, format!("sigma_{side}"), stats.covariance()?);
    Ok(())
}

/// From images to the number, with average pooling in the place of Inception.
pub(super) fn replay_edm(case: &GoldenCase) -> Result<Replayed> {
    let images = case.tensor("images")?;
    let reference = FrechetReference::new(case.tensor("ref_mu")?, case.tensor("ref_sigma")?)?;
    let pixels = ByteScale::Inception.decode(images);
    let features = pixels.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None).flatten(1, -1);
    let count = case.tensor("subset_index")?.size()[0];
    let rows = Tensor::from_slice(&edm_subset(images.size()[0], count, 0));
    let sets = [("all", features.shallow_clone()), ("subset", features.index_select(0, &rows))];
    let mut replayed = Replayed::default();
    replayed.given(["images", "ref_mu", "ref_sigma"]);
    for (name, features) in sets {
        let stats = GaussianStats::of(&features)?;
        insert_moments(&mut replayed, Tolerance::Relative(1e-9), name, &stats)?;
        let distance = reference.distance(&stats.mean()?, &stats.covariance()?)?;
        replayed.insert_within(Tolerance::Relative(1e-9), format!("fid_{name}"), distance);
    }
    replayed.insert_within(Tolerance::Relative(1e-6), "features_all", features);
    replayed.insert_within(Tolerance::Relative(0.0), "subset_index", rows);
    Ok(replayed)
}

pub(super) fn replay_infinity(case: &GoldenCase) -> Result<Replayed> {
    let features = case.tensor("features_gen")?;
    let train = GaussianStats::of(case.tensor("features_train")?)?;
    let reference = FrechetReference::new(&train.mean()?, &train.covariance()?)?;
    let sizes = fd_infinity_sizes(features.size()[0], case.tensor("sizes")?.numel());
    let rows = Vec::<i64>::try_from(case.tensor("index")?.to_kind(Kind::Int64))?;
    let mut rest = rows.as_slice();
    let subsets = sizes.iter().map(|&size| {
        let (subset, others) = rest.split_at((size as usize).min(rest.len()));
        rest = others;
        subset.to_vec()
    });
    let subsets: Vec<Vec<i64>> = subsets.collect();
    let fit = FdInfinity::of_subsets(&reference, features, &subsets, Divisor::Sample)?;
    let mut replayed = Replayed::default();
    replayed.given(["features_gen", "features_train", "index"]);
    replayed.insert_within(Tolerance::Relative(0.0), "sizes", Tensor::from_slice(&fit.sizes));
    replayed.insert_within(Tolerance::Relative(1e-8), "fds", Tensor::from_slice(&fit.distances));
    replayed.insert_within(Tolerance::Relative(1e-7), "fd_infinity", fit.value);
    replayed.insert_within(Tolerance::Relative(1e-7), "slope", fit.slope);
    Ok(replayed)
}
