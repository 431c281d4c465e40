//! The example that trains a classifier, on built-in pictures instead of digits.

#[path = "../examples/08_mnist_classifier/main.rs"]
#[expect(dead_code, reason = "its `main` is not run")]
mod example;

use clap::Parser;
use example::{Args, Trained, run};
use fewstep::backbones::{LeNet, LeNetOutput, recipe_features};
use fewstep::libtorch_ext::process::set_threads;
use fewstep::metrics::{FeatureFrechet, GaussianStats, ReferenceStats};
use fewstep::prelude::*;
use std::path::Path;

fn trained(folder: &Path, name: &str, more: &[&str]) -> Trained {
    set_threads(1);
    let out = folder.join(name);
    let base = ["classifier", "--data", "shapes", "--size", "28", "--out", out.to_str().unwrap()];
    let args = Args::try_parse_from(base.into_iter().chain(more.iter().copied())).unwrap();
    run(&args).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, seed: &str| {
        let more = ["--images", "200", "--epochs", "2", "--seed", seed];
        trained(folder.path(), name, &more).network.checksum()
    };
    let (first, second, other) = (of("a", "1"), of("b", "1"), of("c", "2"));
    assert_eq!(first, second);
    assert_ne!(first, other);
    let [first, second] = ["a", "b"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert_eq!(first, second, "the files are the same, too");
}

#[test]
fn what_is_worse_measures_worse() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--images", "1500", "--epochs", "4", "--batch", "32"];
    let trained = trained(folder.path(), "lenet.safetensors", &more);
    // Twelve classes of three shapes in four colors, of which a mean of the channels leaves shades of grey.
    assert!(trained.accuracy > 0.6, "{}", trained.accuracy);
    let value = |label: &str| -> Vec<f64> {
        trained.reports.iter().map(|report| report.value(label).unwrap()).collect()
    };
    // Test images, blurred ones, one image again and again, noise.
    let (distance, agreement, classes) = (value("LeNet-FD"), value("agreement"), value("classes"));
    assert!((agreement[0] - trained.accuracy).abs() < 1e-12);
    assert!(distance[1..].iter().all(|&worse| worse > 10.0 * distance[0]), "{distance:?}");
    assert!(agreement[1..].iter().all(|&worse| worse < agreement[0]), "{agreement:?}");
    assert!(classes[0] > 9.0 && (classes[2] - 1.0).abs() < 1e-12, "{classes:?}");
    assert!(distance[0] > 0.0 && agreement[2] < 0.2 && agreement[3] < 0.3);
    let info = trained.reports[0].measurements.iter().find(|m| m.info.label == "LeNet-FD").unwrap();
    assert!(info.info.recipe.contains(&trained.network.checksum()), "{}", info.info.recipe);
}

#[test]
fn statistics_by_other_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let network = |seed| LeNet::new(10, &mut Noise::new(seed), Device::Cpu);
    let recipe = |seed| network(seed).recipe(LeNetOutput::Features);
    let stats = GaussianStats::of(&Noise::new(3).normal_f64(&[200, 84])).unwrap();
    let path = folder.path().join("reference.safetensors");
    ReferenceStats::of(&stats, recipe(1)).unwrap().write_safetensors(&path).unwrap();
    let stats = ReferenceStats::read_safetensors(&path).unwrap();

    let file = folder.path().join("lenet.safetensors");
    let of = |seed| {
        network(seed).parameters().save(&file, &Default::default()).unwrap();
        let features = recipe_features(recipe(seed), &file, Device::Cpu).unwrap();
        FeatureFrechet::from_reference(features, &stats).map(drop)
    };
    assert!(of(1).is_ok());
    let error = of(2).unwrap_err().to_string();
    let [expected, found] = [2, 1].map(|seed| network(seed).checksum());
    assert!(error.contains(&expected) && error.contains(&found), "{error}");
}

#[test]
fn data_without_classes_cannot_be_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    let picture = Noise::new(1).uniform(&[1, 1, 8, 8]) * 2.0 - 1.0;
    for name in ["a.png", "b.png"] {
        observer::write_grid(&pictures.join(name), &picture, 1).unwrap();
    }
    let out = folder.path().join("lenet.safetensors");
    let args = ["classifier", "--data", pictures.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let error = run(&Args::try_parse_from(args).unwrap()).err().unwrap();
    assert!(error.to_string().contains("no classes to tell apart"), "{error}");
    assert!(!out.exists());
}
