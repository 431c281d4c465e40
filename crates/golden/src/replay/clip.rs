//! `feat_clip_*`: CLIP's towers with weights by formula, read from files under the names of either publisher; its
//! tokenizer.

use super::{Replayed, config};
use crate::{Error, Result};
use backbones::{
    ClipActivation, ClipImage, ClipImageConfig, ClipText, ClipTextConfig, ClipTextFeatures,
    ClipTokenizer, ClipTransformerConfig,
};
use diffusion_core::tensor_file;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use testkit::{GoldenCase, formula};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    activation: Activation,
    image: ImageTower,
    text: TextTower,
    state_dict: BTreeMap<String, Vec<i64>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Activation {
    QuickGelu,
    Gelu,
}

#[derive(Deserialize)]
struct ImageTower {
    image_size: i64,
    patch: i64,
    embedding: i64,
    #[serde(flatten)]
    transformer: Transformer,
}

#[derive(Deserialize)]
struct TextTower {
    context: i64,
    vocabulary: i64,
    embedding: i64,
    #[serde(flatten)]
    transformer: Transformer,
}

#[derive(Deserialize)]
struct Transformer {
    width: i64,
    layers: i64,
    heads: i64,
    hidden: i64,
}

impl Transformer {
    fn config(&self, activation: Activation) -> ClipTransformerConfig {
        let &Self { width, layers, heads, hidden } = self;
        let activation = match activation {
            Activation::QuickGelu => ClipActivation::QuickGelu,
            Activation::Gelu => ClipActivation::Gelu,
        };
        ClipTransformerConfig { width, layers, heads, hidden, activation }
    }
}

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let model: Model = config(case, &[])?;
    let io = |reason| Error::Io { path: std::env::temp_dir(), reason };
    let folder = tempfile::tempdir().map_err(io)?;
    let file = folder.path().join("clip.safetensors");
    write(&file, &model.state_dict)?;
    let mut replayed = replay_image(case, &model, &file)?;
    let ClipTextFeatures { embedding, tokens } =
        text_tower(&model, &file)?.forward(case.tensor("in.tokens")?)?;
    replayed.insert("out.text_embedding", embedding);
    replayed.insert("out.text_tokens", tokens);
    Ok(replayed)
}

/// A file with the tensors of a state dict, by formula.
fn write(path: &Path, state_dict: &BTreeMap<String, Vec<i64>>) -> Result<()> {
    let value = |(name, shape): (&String, &Vec<i64>)| (name.clone(), formula::value(name, shape));
    let tensors: Vec<(String, Tensor)> = state_dict.iter().map(value).collect();
    let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    Ok(tensor_file::write(path, tensors, &BTreeMap::new())?)
}

fn replay_image(case: &GoldenCase, model: &Model, file: &Path) -> Result<Replayed> {
    let ImageTower { image_size, patch, embedding, transformer } = &model.image;
    let config = ClipImageConfig {
        image_size: *image_size,
        patch: *patch,
        embedding: *embedding,
        transformer: transformer.config(model.activation),
    };
    let tower = ClipImage::open_as(file, &config, Device::Cpu)?;
    let x = case.tensor("in.x")?.copy().set_requires_grad(true);
    let features = tower.forward(&x)?;
    let loss = (&features.embedding * case.tensor("in.probe")?).sum(Kind::Float);
    let grad_x = Tensor::run_backward(&[loss], &[&x], false, false).remove(0);
    Ok(Replayed::from([
        ("out.image_embedding", features.embedding.detach()),
        ("out.image_tokens", features.tokens.detach()),
        ("out.grad_x", grad_x),
    ]))
}

fn text_tower(model: &Model, file: &Path) -> Result<ClipText> {
    let TextTower { context, vocabulary, embedding, transformer } = &model.text;
    let config = ClipTextConfig {
        context: *context,
        vocabulary: *vocabulary,
        embedding: *embedding,
        transformer: transformer.config(model.activation),
    };
    Ok(ClipText::open_as(file, &config, Device::Cpu)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    texts: Vec<String>,
}

pub(super) fn replay_tokenizer(case: &GoldenCase) -> Result<Replayed> {
    let Texts { texts } = config(case, &[])?;
    Ok(Replayed::from([("out.tokens", ClipTokenizer::new().tokenize(&texts)?)]))
}
