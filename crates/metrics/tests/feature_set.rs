//! Every statistic of sets of features: laws that hold for all, and unusable sets.

use diffusion_core::Noise;
use metrics::{
    Boundary, ByteRule, Direction, Divisor, Error, FeatureSet, Recipe, RecipeFeatures, Result,
    ScoreSplits, SetStatistic,
};
use tch::{Kind, Tensor};

type Network = fn(&Tensor) -> Result<Tensor>;

/// Six numbers of an image: mean and spread of each channel.
fn network(pixels: &Tensor) -> Result<Tensor> {
    let pixels = pixels.flatten(2, 3);
    Ok(Tensor::cat(&[pixels.mean_dim(2, false, Kind::Float), pixels.std_dim(2, false, false)], 1))
}

fn features() -> RecipeFeatures<Network> {
    let recipe = Recipe { resize: None, dim: 6, network: "colors".into(), ..Recipe::EDM_FID };
    RecipeFeatures::new(recipe, network)
}

fn set(images: &Tensor) -> FeatureSet<RecipeFeatures<Network>> {
    let mut set = FeatureSet::new(features());
    set.update(images).unwrap();
    set
}

fn images(n: i64) -> Tensor {
    Noise::new(7).normal(&[n, 3, 6, 6]) * 0.3
}

fn statistics() -> Vec<SetStatistic> {
    let (inside, outside) = (Boundary::Inside, Boundary::Outside);
    let drawn_from = Noise::new(5).state();
    vec![
        SetStatistic::Frechet,
        SetStatistic::FdInfinity { drawn_from },
        SetStatistic::TorchFidelityKid { subsets: 20, size: 60, seed: 2020 },
        SetStatistic::style_gan_kid(3),
        SetStatistic::Cmmd,
        SetStatistic::Precision { k: 3, boundary: inside },
        SetStatistic::Recall { k: 3, boundary: outside },
        SetStatistic::Density { k: 5 },
        SetStatistic::Coverage { k: 5 },
    ]
}

#[test]
fn a_set_is_as_near_to_itself_as_can_be_and_another_is_farther() {
    let (real, fake) = (set(&images(200)), set(&(images(200) * 0.5 + 0.2)));
    for statistic in statistics() {
        let (same, other) = (real.compare(&real, statistic), fake.compare(&real, statistic));
        let (same, other) = (same.unwrap().value, other.unwrap().value);
        match statistic.direction() {
            Direction::LowerIsBetter => {
                assert!(same < 0.05 && other > 10.0 * same.abs(), "{statistic:?} {same} {other}");
            }
            Direction::HigherIsBetter => {
                assert!(same > 0.99 && other < 0.5, "{statistic:?} {same} {other}");
            }
        }
    }
}

#[test]
fn the_order_of_the_images_changes_nothing_but_the_drawn_subsets() {
    let (real, fake) = (set(&images(90)), set(&(images(120) * 0.9)));
    let back = set(&(images(120) * 0.9).flip([0]));
    for statistic in statistics() {
        let drawn = matches!(
            statistic,
            SetStatistic::FdInfinity { .. }
                | SetStatistic::TorchFidelityKid { .. }
                | SetStatistic::StyleGanKid { .. }
        );
        let forth = fake.compare(&real, statistic).unwrap().value;
        let back = back.compare(&real, statistic).unwrap().value;
        assert!(drawn || (forth - back).abs() <= 1e-9 * forth.abs().max(1.0), "{statistic:?}");
    }
}

#[test]
fn distances_are_symmetric_and_precision_is_recall_from_the_other_side() {
    let (a, b) = (set(&images(90)), set(&(images(90) * 0.7)));
    let value = |x: &FeatureSet<_>, y: &FeatureSet<_>, statistic| -> f64 {
        FeatureSet::compare::<RecipeFeatures<Network>>(x, y, statistic).unwrap().value
    };
    for statistic in [SetStatistic::Frechet, SetStatistic::Cmmd] {
        let (forth, back) = (value(&a, &b, statistic), value(&b, &a, statistic));
        assert!((forth - back).abs() < 1e-9 && forth > 0.0, "{statistic:?} {forth} {back}");
    }
    let boundary = Boundary::Inside;
    let precision = value(&a, &b, SetStatistic::Precision { k: 3, boundary });
    assert_eq!(precision, value(&b, &a, SetStatistic::Recall { k: 3, boundary }));
}

#[test]
fn values_print_what_they_were_made_with() {
    let (real, fake) = (set(&images(70)), set(&images(65)));
    for statistic in statistics() {
        let info = fake.compare(&real, statistic).unwrap().info;
        for part in ["colors", "(u - 128) / 128", "f64", "65 against 70 images"] {
            assert!(info.recipe.contains(part), "`{part}` is missing from `{}`", info.recipe);
        }
    }
    let kid = SetStatistic::TORCH_FIDELITY_KID.recipe(Divisor::Sample);
    assert!(kid.contains("100 subsets of 1000, NumPy seed 2020"), "{kid}");
    let score = fake.inception_score(ScoreSplits::TORCH_FIDELITY).unwrap();
    assert!(score.info.recipe.contains("10 splits, NumPy seed 2020"), "{}", score.info.recipe);
    assert!((1.0..6.0).contains(&score.value));
}

#[test]
fn bytes_and_values_give_the_same_features() {
    let values = set(&images(20));
    let mut bytes = FeatureSet::new(features());
    for batch in ByteRule::Edm.encode(&images(20)).split(7, 0) {
        bytes.update_bytes(&batch).unwrap();
    }
    assert_eq!(bytes.features().unwrap(), values.features().unwrap());
    assert_eq!(bytes.count(), 20);
}

#[test]
fn unusable_images_are_errors_and_change_nothing() {
    let mut set = FeatureSet::new(features()).with_max_images(10);
    assert!(matches!(set.features(), Err(Error::TooFew { found: 0, needed: 1 })));
    set.update(&images(8)).unwrap();
    let before = set.features().unwrap();
    assert!(matches!(set.update(&images(3)), Err(Error::TooMany { found: 11, limit: 10 })));
    let nan = set.update(&(images(1) * f64::NAN));
    assert!(matches!(nan, Err(Error::NonFiniteImages { count: 1, first: 0 })));
    let mixed = set.update(&Noise::new(0).normal(&[1, 3, 6, 7]));
    assert!(matches!(mixed, Err(Error::MixedShapes { .. })));
    assert_eq!(set.features().unwrap(), before);
    let mut other = FeatureSet::new(features());
    let channels = other.update(&Noise::new(0).normal(&[1, 2, 6, 6]));
    assert!(matches!(channels, Err(Error::Channels { found: 2 })));
    other.update(&Noise::new(0).normal(&[4, 3, 6, 7])).unwrap();
    let sizes = set.compare(&other, SetStatistic::Cmmd);
    assert!(matches!(sizes, Err(Error::MixedShapes { .. })));
    let few = set.compare(&set, SetStatistic::Coverage { k: 8 });
    assert!(matches!(few, Err(Error::TooFew { found: 8, needed: 9 })));
}

#[test]
fn sets_of_other_features_are_refused_with_both_named() {
    let recipe =
        Recipe { name: "by N".into(), divisor: Divisor::Population, ..features().recipe().clone() };
    let mut other = FeatureSet::new(RecipeFeatures::new(recipe, network));
    other.update(&images(9)).unwrap();
    let error = set(&images(9)).compare(&other, SetStatistic::Cmmd).unwrap_err();
    assert!(matches!(&error, Error::OtherFeatures { .. }));
    let message = error.to_string();
    assert!(message.contains("\"by N: ") && message.contains("\"EDM FID: "), "{message}");
}
