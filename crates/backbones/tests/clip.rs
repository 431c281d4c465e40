//! CLIP's towers: names, files, inputs, scores.

use backbones::{
    ClipActivation, ClipImage, ClipImageConfig, ClipModel, ClipProtocol, ClipScore, ClipText,
    ClipTextConfig, ClipTokenizer, ClipTransformerConfig, Error,
};
use diffusion_core::{Noise, Parameters, tensor_file};
use metrics::Resize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use testkit::formula;

const ACTIVATION: ClipActivation = ClipActivation::QuickGelu;

fn image_config() -> ClipImageConfig {
    let transformer = ClipTransformerConfig {
        width: 768,
        layers: 2,
        heads: 12,
        hidden: 40,
        activation: ACTIVATION,
    };
    ClipImageConfig { image_size: 16, patch: 8, embedding: 20, transformer }
}

fn text_config() -> ClipTextConfig {
    let transformer = ClipTransformerConfig {
        width: 512,
        layers: 1,
        heads: 8,
        hidden: 32,
        activation: ACTIVATION,
    };
    ClipTextConfig { context: 77, vocabulary: 49_408, embedding: 20, transformer }
}

/// Towers whose width no published model has.
fn narrow() -> [ClipTransformerConfig; 2] {
    [3, 2].map(|heads| ClipTransformerConfig {
        width: 8 * heads,
        heads,
        ..text_config().transformer
    })
}

fn image_tower(config: &ClipImageConfig) -> ClipImage {
    let tower = ClipImage::zeroed(config, Device::Cpu);
    formula::fill(tower.parameters(), "");
    tower
}

fn text_tower(config: &ClipTextConfig) -> ClipText {
    let tower = ClipText::zeroed(config, Device::Cpu);
    formula::fill(tower.parameters(), "");
    tower
}

/// A file in the format of OpenAI's: both towers, a scale, here in half precision.
fn published(folder: &Path) -> PathBuf {
    let (image, text) = (image_tower(&image_config()), text_tower(&text_config()));
    let both = image.parameters().iter().chain(text.parameters().iter());
    let mut tensors: Vec<_> =
        both.map(|entry| (entry.name.as_str(), entry.tensor.to_kind(Kind::Half))).collect();
    tensors.push(("logit_scale", Tensor::from(4.6f32)));
    let path = folder.join("clip.safetensors");
    let tensors = tensors.iter().map(|(name, tensor)| (*name, tensor));
    tensor_file::write(&path, tensors, &BTreeMap::new()).unwrap();
    path
}

fn differs_by_halves(found: &Parameters, expected: &Parameters) {
    for (found, expected) in found.iter().zip(expected.iter()) {
        assert_eq!(found.name, expected.name);
        assert_eq!(found.tensor, expected.tensor.to_kind(Kind::Half).to_kind(Kind::Float));
    }
}

/// The names and shapes of two of the layers of each tower.
#[test]
fn names_and_shapes_are_the_published_ones() {
    let ClipModel { mut image, mut text, .. } = ClipModel::OPENAI_VIT_L14_336;
    (image.transformer.layers, text.transformer.layers) = (2, 2);
    let image = ClipImage::zeroed(&image, Device::Cpu);
    let text = ClipText::zeroed(&text, Device::Cpu);
    let is_built = |line: &&str| match line.split_once("resblocks.") {
        Some((_, layer)) => layer.starts_with("0.") || layer.starts_with("1."),
        None => !line.starts_with("logit_scale"),
    };
    let list = include_str!("state_dicts/openclip_vit_l14_336.txt");
    let lines: Vec<&str> = list.lines().filter(is_built).collect();
    let (of_image, of_text): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.starts_with("visual."));
    for (parameters, expected) in [(image.parameters(), of_image), (text.parameters(), of_text)] {
        let found: Vec<String> = (parameters.iter())
            .map(|entry| format!("{} {:?} float32", entry.name, entry.tensor.size()))
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn either_tower_is_found_in_a_file_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = published(folder.path());
    let image = ClipImage::open(&path, ACTIVATION, Device::Cpu).unwrap();
    assert_eq!(*image.config(), image_config());
    differs_by_halves(image.parameters(), image_tower(&image_config()).parameters());
    let text = ClipText::open(&path, ACTIVATION, Device::Cpu).unwrap();
    assert_eq!(*text.config(), text_config());
    differs_by_halves(text.parameters(), text_tower(&text_config()).parameters());
}

#[test]
fn a_file_without_the_tower_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.safetensors");
    let narrow = ClipTextConfig { transformer: narrow()[1], ..text_config() };
    text_tower(&narrow).parameters().save(&path, &BTreeMap::new()).unwrap();
    let error = ClipImage::open(&path, ACTIVATION, Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::NoTower { tower: "image", .. }), "{error}");
    assert!(error.to_string().contains("visual.conv1.weight"), "{error}");
    let error = ClipImage::open_as(&path, &image_config(), Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    let error = ClipText::open(&path, ACTIVATION, Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::UnknownWidth { width: 16, .. }), "{error}");
    assert!(ClipText::open_as(&path, &narrow, Device::Cpu).is_ok());
    std::fs::write(&path, "no weights").unwrap();
    let error = ClipText::open(&path, ACTIVATION, Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::Weights(_)), "{error}");
}

#[test]
fn images_of_another_shape_are_refused() {
    let tower = image_tower(&image_config());
    for shape in [&[2, 1, 16, 16][..], &[2, 3, 24, 24], &[2, 3, 16, 8], &[3, 16, 16]] {
        let x = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let error = tower.forward(&x).unwrap_err();
        assert!(matches!(&error, Error::ImageSize { shape: found, side: 16 } if found == shape));
        assert!(error.to_string().contains("[B, 3, 16, 16]"), "{error}");
    }
}

#[test]
fn tokens_of_another_network_are_refused() {
    let vocabulary = 49_408;
    let tower = text_tower(&ClipTextConfig { transformer: narrow()[0], ..text_config() });
    let of = |tokens: &Tensor| tower.forward(tokens).unwrap_err();
    let zeros = |shape: [i64; 2], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    let short = of(&zeros([2, 64], Kind::Int64));
    assert!(matches!(&short, Error::Context { shape, context: 77, .. } if *shape == [2, 64]));
    let float = of(&zeros([2, 77], Kind::Float));
    assert!(matches!(float, Error::Context { kind: Kind::Float, .. }), "{float}");
    assert!(matches!(of(&zeros([0, 77], Kind::Int64)), Error::NoTexts));
    for token in [-1, vocabulary] {
        let error = of(&(zeros([2, 77], Kind::Int64) + token));
        assert!(matches!(error, Error::Token { token: found, .. } if found == token), "{error}");
    }
}

#[test]
fn only_what_comes_before_the_end_of_a_text_counts() {
    let tower = text_tower(&ClipTextConfig { transformer: narrow()[0], ..text_config() });
    let tokens = ClipTokenizer::new().tokenize(&["a cat on a sofa", "a dog"]).unwrap();
    let embedding = |tokens: &Tensor| tower.forward(tokens).unwrap().embedding;
    let padded = tokens.where_self(&tokens.not_equal(0), &Tensor::from(49_407i64));
    assert!(padded.not_equal_tensor(&tokens).any().int64_value(&[]) == 1);
    let distance = |a: Tensor, b: Tensor| (a - b).abs().max().double_value(&[]);
    assert!(distance(embedding(&padded), embedding(&tokens)) < 1e-6);
    let alone = embedding(&tokens.narrow(0, 1, 1));
    assert!(distance(alone, embedding(&tokens).narrow(0, 1, 1)) < 1e-5);
    let swapped = tokens.index_select(
        1,
        &Tensor::from_slice(
            &(0..77)
                .map(|i| match i {
                    1 => 2,
                    2 => 1,
                    i => i,
                })
                .collect::<Vec<i64>>(),
        ),
    );
    assert!(distance(embedding(&swapped), embedding(&tokens)) > 1e-2);
}

fn score(prefix: &'static str) -> ClipScore {
    let [of_image, of_text] = narrow();
    let image = ClipImageConfig { transformer: of_image, ..image_config() };
    let text = ClipTextConfig { transformer: of_text, ..text_config() };
    let model = ClipModel { name: "formula", image, text, ..ClipModel::OPENAI_VIT_B32 };
    let protocol = ClipProtocol { prefix: prefix.into(), ..ClipProtocol::plain(model) };
    ClipScore::new(protocol, image_tower(&image), text_tower(&text))
}

const TEXTS: [&str; 3] = ["a cat", "two dogs", "a red bus in the rain"];

#[test]
fn a_score_is_the_mean_cosine_whatever_the_batches() {
    let images = Noise::new(1).uniform(&[3, 3, 24, 24]) * 2.0 - 1.0;
    let mut whole = score("");
    whole.update(&images, &TEXTS).unwrap();
    let mut parts = score("");
    parts.update(&images.narrow(0, 0, 1), &TEXTS[..1]).unwrap();
    parts.update(&images.narrow(0, 1, 2), &TEXTS[1..]).unwrap();
    let value = whole.value().unwrap();
    assert!((parts.value().unwrap() - value).abs() < 1e-6);

    let levels = ((&images + 1.0) * 127.5).to_kind(Kind::Uint8);
    let pixels = Resize::PillowBicubic.apply(&levels, [16, 16]).unwrap();
    let pixels = metrics::Scaling::CLIP.apply(&pixels);
    let [of_image, of_text] = narrow();
    let image = image_tower(&ClipImageConfig { transformer: of_image, ..image_config() });
    let text = text_tower(&ClipTextConfig { transformer: of_text, ..text_config() });
    let tokens = ClipTokenizer::new().tokenize(&TEXTS).unwrap();
    let image = image.forward(&pixels).unwrap().embedding;
    let text = text.forward(&tokens).unwrap().embedding;
    let cosine = Tensor::cosine_similarity(&image, &text, 1, 1e-8).mean(Kind::Double);
    assert!((cosine.double_value(&[]) - value).abs() < 1e-6);
    let recipe = whole.info().recipe;
    assert!(recipe.contains("to 16x16") && recipe.ends_with("3 pairs"), "{recipe}");
}

#[test]
fn a_prefix_is_part_of_the_text() {
    let images = Noise::new(1).uniform(&[3, 3, 16, 16]) * 2.0 - 1.0;
    let (mut with, mut without) = (score("A photo depicts "), score(""));
    with.update(&images, &TEXTS).unwrap();
    let texts = TEXTS.map(|text| format!("A photo depicts {text}"));
    without.update(&images, &texts).unwrap();
    assert_eq!(with.value().unwrap(), without.value().unwrap());
    without.reset();
    without.update(&images, &TEXTS).unwrap();
    assert!((with.value().unwrap() - without.value().unwrap()).abs() > 1e-4);
}

#[test]
fn unusable_pairs_change_nothing() {
    let images = Noise::new(1).uniform(&[3, 3, 16, 16]) * 2.0 - 1.0;
    let mut score = score("");
    let none: [&str; 0] = [];
    let too_few = metrics::Error::TooFew { found: 0, needed: 1 }.to_string();
    assert_eq!(score.value().unwrap_err().to_string(), too_few);
    score.update(&images, &TEXTS).unwrap();
    let value = score.value().unwrap();
    assert!(matches!(score.update(&images, &none), Err(Error::NoTexts)));
    let error = score.update(&images, &TEXTS[..2]).unwrap_err().to_string();
    assert!(error.contains("3 images and 2 texts"), "{error}");
    for unusable in [images.narrow(1, 0, 2), images.narrow(1, 0, 0), &images * f64::NAN] {
        let error = score.update(&unusable, &TEXTS).unwrap_err();
        assert!(matches!(error, Error::Metric(_)), "{error}");
    }
    let wide = score.update(&images.narrow(2, 0, 8), &TEXTS).unwrap_err();
    assert!(matches!(wide, Error::NotSquare { height: 8, width: 16 }), "{wide}");
    assert_eq!(score.value().unwrap(), value);
}
