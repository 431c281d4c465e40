//! From image files and a published reference to the published number.

use fewstep::datasets::{ImageSource, OpenOptions, open};
use fewstep::metrics::{
    FeatureFrechet, FeatureSet, GaussianStats, Metric, Recipe, RecipeFeatures, ReferenceStats,
    Result, SetStatistic, edm_subset,
};
use std::path::PathBuf;
use tch::Tensor;

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/metrics", name].iter().collect()
}

/// The stand-in for Inception in the reference values: pixels averaged over blocks of 4x4.
fn features() -> RecipeFeatures<fn(&Tensor) -> Result<Tensor>> {
    let network = "average pool by 4".into();
    let recipe = Recipe { resize: None, network, dim: 12, ..Recipe::EDM_FID };
    RecipeFeatures::new(recipe, |pixels| {
        Ok(pixels.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None).flatten(1, -1))
    })
}

fn bytes(source: &dyn ImageSource, indices: &[i64]) -> Tensor {
    let images = indices.iter().map(|&index| {
        let image = source.image(index as usize).unwrap();
        let shape = [image.channels, image.height, image.width].map(i64::from);
        Tensor::from_slice(&image.data).view(shape)
    });
    Tensor::stack(&images.collect::<Vec<_>>(), 0)
}

#[test]
fn images_in_a_zip_have_the_published_distance_from_a_published_reference() {
    let source = open(file("fid_edm_images.zip"), &OpenOptions::default()).unwrap();
    let n = source.len() as i64;
    let case = testkit::GoldenCase::open(file("fid_edm.safetensors")).unwrap();
    let reference = ReferenceStats::read_npz(file("fid_edm_ref.npz"), features().recipe().clone());
    let mut metric = FeatureFrechet::from_reference(features(), &reference.unwrap()).unwrap();
    for (name, count) in [("fid_all", n), ("fid_subset", 25)] {
        metric.reset();
        for batch in edm_subset(n, count, 0).chunks(16) {
            metric.update_bytes(&bytes(&*source, batch)).unwrap();
        }
        let (value, expected) =
            (metric.value().unwrap(), case.tensor(name).unwrap().double_value(&[]));
        assert!((value - expected).abs() <= 1e-9 * expected, "{name}: {value} is not {expected}");
    }
}

#[test]
fn kept_features_give_the_streamed_distance() {
    let source = open(file("fid_edm_images.zip"), &OpenOptions::default()).unwrap();
    let order: Vec<i64> = (0..source.len() as i64).collect();
    let (first, second) = order.split_at(20);
    let sets = [first, second].map(|indices| {
        let mut set = FeatureSet::new(features());
        set.update_bytes(&bytes(&*source, indices)).unwrap();
        set
    });
    let [real, fake] = &sets;
    let kept = fake.compare(real, SetStatistic::Frechet).unwrap();

    let stats = GaussianStats::of(&real.features().unwrap()).unwrap();
    let reference = ReferenceStats::of(&stats, features().recipe().clone()).unwrap();
    let mut metric = FeatureFrechet::from_reference(features(), &reference).unwrap();
    for batch in second.chunks(7) {
        metric.update_bytes(&bytes(&*source, batch)).unwrap();
    }
    let streamed = metric.value().unwrap();
    assert!((kept.value - streamed).abs() <= 1e-9 * streamed, "{} {streamed}", kept.value);
}
