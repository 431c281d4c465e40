//! Statistics of features against a reference that was kept.

use diffusion_core::Noise;
use metrics::{
    Boundary, Divisor, Error, FeatureFrechet, GaussianStats, Metric, Recipe, RecipeFeatures,
    ReferenceStats, Result, SetStatistic,
};
use tch::{Kind, Tensor};

fn recipe() -> Recipe {
    Recipe { resize: None, network: "mean color".into(), dim: 3, ..Recipe::EDM_FID }
}

fn mean(pixels: &Tensor) -> Result<Tensor> {
    Ok(pixels.mean_dim(&[2i64, 3][..], false, Kind::Float))
}

fn moments(features: &Tensor) -> ReferenceStats {
    ReferenceStats::of(&GaussianStats::of(features).unwrap(), recipe()).unwrap()
}

fn statistics() -> Vec<SetStatistic> {
    vec![
        SetStatistic::Recall { k: 3, boundary: Boundary::Inside },
        SetStatistic::Frechet,
        SetStatistic::style_gan_kid(0),
        SetStatistic::Coverage { k: 5 },
        SetStatistic::Precision { k: 3, boundary: Boundary::Outside },
        SetStatistic::FdInfinity { drawn_from: Noise::new(1).state() },
        SetStatistic::Density { k: 5 },
        SetStatistic::Precision { k: 3, boundary: Boundary::Inside },
    ]
}

#[test]
fn every_statistic_is_that_of_the_features_themselves() {
    let mut noise = Noise::new(1);
    let (real, others) = (noise.normal(&[70, 3]), noise.normal(&[60, 3]) * 0.8 + 0.1);
    let reference = moments(&real).with_features(&real).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference.safetensors");
    reference.write_safetensors(&path).unwrap();
    let read = ReferenceStats::read_safetensors(&path).unwrap();
    assert_eq!(read.features, reference.features);
    for reference in [reference, read] {
        let found = reference.compare(&recipe(), &others, &statistics()).unwrap();
        for (statistic, found) in statistics().into_iter().zip(found) {
            let expected = statistic.of(&real, &others, Divisor::Sample).unwrap();
            assert!(
                (found.value - expected).abs() <= 1e-12 * expected.abs(),
                "{}",
                found.info.name
            );
            assert_eq!(found.info, reference.info(&recipe(), statistic, 60));
        }
    }
}

#[test]
fn moments_alone_give_the_frechet_distances_and_nothing_else() {
    let mut noise = Noise::new(2);
    let (real, others) = (noise.normal(&[70, 3]), noise.normal(&[60, 3]));
    let reference = moments(&real);
    for statistic in statistics() {
        let found = reference.compare(&recipe(), &others, &[statistic]);
        match statistic.needs_features() {
            true => assert!(matches!(found, Err(Error::MomentsOnly { .. })), "{statistic:?}"),
            false => assert!(found.unwrap()[0].value.is_finite()),
        }
    }
    let other = Recipe { network: "another".into(), ..recipe() };
    let error = reference.compare(&other, &others, &[SetStatistic::Frechet]).unwrap_err();
    assert!(matches!(error, Error::OtherRecipe { .. }), "{error}");
    let short = moments(&real).with_features(&others.narrow(1, 0, 2)).unwrap_err();
    assert!(matches!(short, Error::Dimension { expected: 3, found: 2 }));
    let nan = moments(&real).with_features(&(others * f64::NAN)).unwrap_err();
    assert!(matches!(nan, Error::NonFiniteFeatures { .. }));
}

#[test]
fn a_distance_is_called_the_same_whoever_computes_it() {
    let reference = moments(&Noise::new(3).normal(&[70, 3]));
    let network: fn(&Tensor) -> Result<Tensor> = mean;
    let metric = FeatureFrechet::from_reference(RecipeFeatures::new(recipe(), network), &reference);
    assert_eq!(metric.unwrap().info(), reference.info(&recipe(), SetStatistic::Frechet, 9));
}
