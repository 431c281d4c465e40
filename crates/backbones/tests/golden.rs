//! Features against PyTorch's. The scripts beside the files say how they came to be.

use backbones::{Inception, Vgg16, Vgg16Variant, recipe_features, weight_file};
use diffusion_core::Parameters;
use metrics::{Boundary, FeatureExtractor, FeatureSet, Recipe, RecipeFeatures, SetStatistic};
use std::collections::BTreeMap;
use std::f64::consts::SQRT_2;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use testkit::formula;

/// The tensors of a file of this folder.
fn golden(name: &str) -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// A tensor by formula: matrices that keep the variance behind an activation, variances near 1.
fn value(name: &str, shape: &[i64]) -> Tensor {
    let value = if name.ends_with(".var") {
        formula::value(name, shape) + 1.0
    } else {
        formula::value(name, shape)
    };
    match shape {
        [_] => value,
        _ => value * SQRT_2,
    }
}

fn assert_close(found: &Tensor, expected: &Tensor) {
    let error = (found - expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    assert!(error <= 2e-5 * scale, "{error} of {scale}");
}

/// What precision and recall by these features say of themselves, and that they are 1 for a set and itself.
fn precision_and_recall(features: impl FeatureExtractor) -> [String; 2] {
    let mut set = FeatureSet::new(features);
    set.update(&(diffusion_core::Noise::new(1).uniform(&[2, 3, 8, 8]) * 2.0 - 1.0)).unwrap();
    let (k, boundary) = (1, Boundary::Inside);
    [SetStatistic::Precision { k, boundary }, SetStatistic::Recall { k, boundary }].map(|which| {
        let found = set.compare(&set, which).unwrap();
        assert_eq!(found.value, 1.0, "a set covers itself");
        found.info.recipe
    })
}

/// Inception under StyleGAN's names, in a file.
fn style_gan_inception(folder: &Path) -> PathBuf {
    let list = include_str!("state_dicts/inception_style_gan.txt");
    let mut tensors = Parameters::new(Device::Cpu);
    for line in list.lines() {
        let (name, rest) = line.split_once(" [").unwrap();
        let (shape, _) = rest.split_once(']').unwrap();
        let shape: Vec<i64> = shape.split(", ").map(|size| size.parse().unwrap()).collect();
        let _ = tensors.buffer(name, value(name, &shape));
    }
    let path = folder.join("inception.safetensors");
    tensors.save(&path, &BTreeMap::new()).unwrap();
    path
}

#[test]
fn inception_by_style_gans_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = style_gan_inception(folder.path());
    let expected = golden("inception_style_gan.safetensors");
    let recipes = [(Recipe::EDM_FID, "pool3"), (Recipe::INCEPTION_SCORE, "logits_without_bias")];
    for (recipe, output) in recipes {
        let features = recipe_features(recipe, &path, Device::Cpu).unwrap();
        assert_close(&features.features_of_bytes(&expected["images"]).unwrap(), &expected[output]);
        let recipe = features.recipe().to_string();
        assert!(precision_and_recall(features).iter().all(|found| found.contains(&recipe)));
    }
}

#[test]
fn a_file_that_is_only_like_style_gans_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let mut tensors = Parameters::new(Device::Cpu);
    for name in ["layers.conv.weight", "layers.conv.gamma"] {
        let _ = tensors.buffer(name, Tensor::zeros([1], (Kind::Float, Device::Cpu)));
    }
    tensors.save(&path, &BTreeMap::new()).unwrap();
    let error = Inception::open(&path, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("Conv2d_1a_3x3.bn.bias"), "{error}");
    assert!(error.contains("layers.conv.gamma"), "{error}");
}

/// VGG16 with weights by formula.
fn vgg16() -> Vgg16 {
    let network = Vgg16::zeroed(Vgg16Variant::Plain, Device::Cpu);
    let _no_grad = tch::no_grad_guard();
    for entry in network.parameters() {
        entry.tensor.shallow_clone().copy_(&value(&entry.name, &entry.tensor.size()));
    }
    network
}

#[test]
fn vgg16_as_torch_fidelity_takes_it() {
    let network = vgg16();
    let fc2 = |pixels: &Tensor| Ok(network.fully_connected(pixels));
    let features = RecipeFeatures::new(Recipe::TORCH_FIDELITY_VGG16, fc2);
    let expected = golden("vgg16_fc2.safetensors");
    assert_close(&features.features_of_bytes(&expected["images"]).unwrap(), &expected["fc2_relu"]);
    assert!(precision_and_recall(&features)[0].contains("vgg16 (torchvision), fc2 after ReLU"));
    // StyleGAN's flavor differs in nothing but the file, which it names.
    let ours = Recipe { network: features.recipe().network.clone(), ..Recipe::STYLE_GAN_VGG16 };
    assert!(ours.require_same(features.recipe()).is_ok());
    assert!(Recipe::STYLE_GAN_VGG16.require_same(features.recipe()).is_err());
    assert_eq!(weight_file(&Recipe::STYLE_GAN_VGG16).unwrap(), Vgg16::STYLE_GAN);
    assert_eq!(weight_file(features.recipe()).unwrap(), Vgg16::TORCHVISION);
}
