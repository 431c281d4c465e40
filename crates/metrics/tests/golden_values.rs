//! Values of the official implementations.
//!
//! The files hold inputs and results; [`max_relative_error`] decides.

use metrics::{
    ByteRule, ByteScale, FeatureExtractor, FeatureFrechet, GaussianStats, Metric, Order, Result,
    frechet_distance, frechet_distance_of_moments, sliced_wasserstein,
};
use std::path::Path;
use tch::{Kind, Tensor};
use testkit::{GoldenCase, max_relative_error};

/// One file of reference values.
struct Case(GoldenCase);

impl Case {
    fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        Self(GoldenCase::open(folder.join(format!("{name}.safetensors"))).unwrap())
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.0.tensor(name).unwrap()
    }

    fn stats(&self, name: &str) -> GaussianStats {
        GaussianStats::of(self.tensor(name)).unwrap()
    }

    fn assert_close(&self, name: &str, found: &Tensor, tolerance: f64) {
        let error = max_relative_error(found, self.tensor(name));
        assert!(error <= tolerance, "{} {name}: {error:e} > {tolerance:e}", self.0.stem);
    }

    fn assert_value(&self, name: &str, found: f64, tolerance: f64) {
        self.assert_close(name, &Tensor::from(found), tolerance);
    }
}

fn assert_frechet(name: &str, tolerance: f64) {
    let case = Case::open(name);
    let (real, fake) = (case.stats("features_real"), case.stats("features_fake"));
    for (side, stats) in [("real", &real), ("fake", &fake)] {
        case.assert_close(&format!("mu_{side}"), &stats.mean().unwrap(), 1e-12);
        case.assert_close(&format!("sigma_{side}"), &stats.covariance().unwrap(), 1e-12);
    }
    let programs =
        ["fid_edm", "fid_eigh", "fid_pytorch_fid", "fid_cleanfid", "fid_dgm", "fid_dgm_efficient"];
    let (forth, back) =
        (frechet_distance(&real, &fake).unwrap(), frechet_distance(&fake, &real).unwrap());
    for program in programs {
        case.assert_value(program, forth, tolerance);
        case.assert_value(program, back, tolerance);
    }
    let population = frechet_distance_of_moments(
        &real.mean().unwrap(),
        &real.population_covariance().unwrap(),
        &fake.mean().unwrap(),
        &fake.population_covariance().unwrap(),
    );
    case.assert_value("fid_stylegan2ada", population.unwrap(), tolerance);
}

#[test]
fn frechet_distance_of_full_rank_features() {
    assert_frechet("fid", 1e-9);
    assert_frechet("fid_wide", 1e-9);
}

#[test]
fn frechet_distance_of_fewer_samples_than_dimensions() {
    assert_frechet("fid_singular", 1e-7);
}

/// The stand-in for Inception in the case `fid_edm`: pixels averaged over blocks of 4x4.
struct AveragePool;

impl FeatureExtractor for AveragePool {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let pixels = ByteScale::Inception.decode(&ByteRule::Edm.encode(images));
        Ok(pixels.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None).flatten(1, -1))
    }

    fn frechet_name(&self) -> [String; 2] {
        ["average-pool Fréchet distance".into(), "pool-FD".into()]
    }

    fn recipe(&self) -> String {
        "average pool by 4 of (u - 128) / 128".into()
    }
}

#[test]
fn edm_evaluation_from_images_to_the_number() {
    let case = Case::open("fid_edm");
    let images = ByteScale::Edm.decode(case.tensor("images"));
    case.assert_close("features_all", &AveragePool.features(&images).unwrap(), 1e-6);
    let (mean, covariance) = (case.tensor("ref_mu"), case.tensor("ref_sigma"));
    let mut metric =
        FeatureFrechet::from_moments(AveragePool, mean, covariance, "fid_edm_ref.npz").unwrap();
    for batch in images.split(16, 0) {
        metric.update(&batch).unwrap();
    }
    case.assert_close("mu_all", &metric.stats().mean().unwrap(), 1e-6);
    case.assert_close("sigma_all", &metric.stats().covariance().unwrap(), 1e-6);
    case.assert_value("fid_all", metric.value().unwrap(), 1e-6);
    metric.reset();
    metric.update(&images.index_select(0, case.tensor("subset_index"))).unwrap();
    case.assert_close("mu_subset", &metric.stats().mean().unwrap(), 1e-6);
    case.assert_value("fid_subset", metric.value().unwrap(), 1e-6);
    assert!(metric.info().recipe.contains("fid_edm_ref.npz"));
}

#[test]
fn edm_evaluation_from_official_features_to_the_number() {
    let case = Case::open("fid_edm");
    let distance = |features: &Tensor| {
        let stats = GaussianStats::of(features).unwrap();
        let (mean, covariance) = (stats.mean().unwrap(), stats.covariance().unwrap());
        let (ref_mean, ref_covariance) = (case.tensor("ref_mu"), case.tensor("ref_sigma"));
        frechet_distance_of_moments(&mean, &covariance, ref_mean, ref_covariance).unwrap()
    };
    let features = case.tensor("features_all");
    case.assert_value("fid_all", distance(features), 1e-9);
    let subset = features.index_select(0, case.tensor("subset_index"));
    case.assert_value("fid_subset", distance(&subset), 1e-9);
}

#[test]
fn sliced_wasserstein_in_both_orders_and_by_direction() {
    let case = Case::open("sliced_wasserstein");
    let distance = |directions: &Tensor, order| {
        sliced_wasserstein(case.tensor("x"), case.tensor("y"), directions, order).unwrap()
    };
    let directions = case.tensor("projections");
    case.assert_value("sw1", distance(directions, Order::One), 1e-10);
    case.assert_value("sw2", distance(directions, Order::Two), 1e-10);
    let (mut w1, mut w2_squared) = (Vec::new(), Vec::new());
    for direction in directions.split(1, 0) {
        w1.push(distance(&direction, Order::One));
        w2_squared.push(distance(&direction, Order::Two).powi(2));
    }
    case.assert_close("w1_per_projection", &Tensor::from_slice(&w1), 1e-10);
    case.assert_close("w2sq_per_projection", &Tensor::from_slice(&w2_squared), 1e-10);
}

#[test]
fn bytes_are_exactly_those_of_every_program() {
    let case = Case::open("uint8");
    for (name, rule) in [
        ("edm", ByteRule::Edm),
        ("cm", ByteRule::ConsistencyModels),
        ("round", ByteRule::Round),
        ("save_image", ByteRule::SaveImage),
        ("pil_float", ByteRule::PilFloat),
    ] {
        let found = rule.encode(case.tensor("x"));
        assert_eq!(found.kind(), Kind::Uint8);
        assert_eq!(&found, case.tensor(name), "{name}");
    }
    for (name, scale) in [
        ("from_edm", ByteScale::Edm),
        ("from_totensor", ByteScale::ToTensor),
        ("from_inception", ByteScale::Inception),
    ] {
        assert_eq!(&scale.decode(case.tensor("bytes")), case.tensor(name), "{name}");
    }
}
