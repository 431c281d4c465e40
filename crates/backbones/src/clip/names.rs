//! Reading a tower by the names of any publisher.

use crate::Result;
use crate::weight_file::read;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// Half of a CLIP model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tower {
    Image,
    Text,
}

impl Tower {
    /// Whether a tensor with that native name is part of it.
    pub(super) fn owns(self, name: &str) -> bool {
        let of_text = [
            "positional_embedding",
            "text_projection",
            "transformer.",
            "token_embedding.",
            "ln_final.",
        ];
        match self {
            Self::Image => name.starts_with("visual.") || name == IMAGE_PROJECTION,
            Self::Text => of_text.iter().any(|start| name.starts_with(start)),
        }
    }
}

/// The projections of transformers, which are transposed.
const IMAGE_PROJECTION: &str = "visual_projection.weight";
const TEXT_PROJECTION: &str = "text_projection.weight";

/// Names of transformers and the native ones, by parts.
const PARTS: [(&str, &str); 15] = [
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."), // as it is spelled there
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.final_layer_norm.", "ln_final."),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    (".self_attn.", ".attn."),
];

/// The projections to queries, keys and values, which are one natively.
const QKV: [&str; 3] = [".attn.q_proj.", ".attn.k_proj.", ".attn.v_proj."];

/// The native name of a tensor, except for [`QKV`] and the projections; none for tables of positions `0, 1, 2, …`.
pub(super) fn native(name: &str) -> Option<String> {
    if name.ends_with(".position_ids") {
        return None;
    }
    let name = name.strip_prefix("module.").unwrap_or(name);
    Some(PARTS.iter().fold(name.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours)))
}

/// What a tensor is to the native one of that name.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Whole(String),
    Transposed(String),
    Third(String, usize),
}

impl Piece {
    fn of(name: String) -> Self {
        match (&*name, QKV.iter().position(|part| name.contains(part))) {
            (IMAGE_PROJECTION, _) => Self::Transposed("visual.proj".into()),
            (TEXT_PROJECTION, _) => Self::Transposed("text_projection".into()),
            (_, Some(third)) => Self::Third(name.replace(QKV[third], ".attn.in_proj_"), third),
            _ => Self::Whole(name),
        }
    }
}

/// The tensors of a tower under their native names.
pub(super) fn read_tower(path: &Path, tower: Tower) -> Result<Vec<(String, Tensor)>> {
    let tensors = read(path, "state_dict", |name| native(name).filter(|name| tower.owns(name)))?;
    let mut thirds: BTreeMap<String, [Option<Tensor>; 3]> = BTreeMap::new();
    let mut wholes = Vec::new();
    for (name, tensor) in tensors {
        match Piece::of(name) {
            Piece::Whole(name) => wholes.push((name, tensor)),
            Piece::Transposed(name) if tensor.dim() == 2 => wholes.push((name, tensor.tr())),
            Piece::Transposed(name) => wholes.push((name, tensor)),
            Piece::Third(name, third) => thirds.entry(name).or_default()[third] = Some(tensor),
        }
    }
    let stacked = thirds.into_iter().map(|(name, thirds)| (name, stacked(thirds)));
    wholes.extend(stacked.filter_map(|(name, whole)| Some((name, whole?))));
    Ok(wholes)
}

/// The thirds of a tensor under each other. Those that do not fit give one of another shape or none, which is refused when
/// the tower is loaded.
fn stacked(thirds: [Option<Tensor>; 3]) -> Option<Tensor> {
    Tensor::f_cat(&thirds.into_iter().flatten().collect::<Vec<_>>(), 0).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// The state dicts of ViT-L/14 for 336 pixels.
    pub(in crate::clip) const OPENCLIP: &str =
        include_str!("../../tests/state_dicts/openclip_vit_l14_336.txt");
    pub(in crate::clip) const TRANSFORMERS: &str =
        include_str!("../../tests/state_dicts/transformers_clip_vit_l14_336.txt");

    /// Names and shapes of a list.
    pub(in crate::clip) fn tensors(list: &str) -> impl Iterator<Item = (&str, Vec<i64>)> {
        list.lines().map(|line| {
            let (name, shape) = line.strip_suffix("] float32").unwrap().split_once(" [").unwrap();
            let shape = shape.split(", ").filter(|n| !n.is_empty()).map(|n| n.parse().unwrap());
            (name, shape.collect())
        })
    }

    #[test]
    fn the_pieces_of_one_publisher_make_the_tensors_of_the_other() {
        let mut made: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (name, shape) in tensors(TRANSFORMERS) {
            let (name, shape) = match Piece::of(native(name).unwrap()) {
                Piece::Whole(name) => (name, shape),
                Piece::Transposed(name) => (name, shape.into_iter().rev().collect()),
                Piece::Third(name, _) => {
                    let rows = made.get(&name).map_or(0, |shape| shape[0]);
                    (name, [&[rows + shape[0]], &shape[1..]].concat())
                }
            };
            made.insert(name, shape);
        }
        let expected = tensors(OPENCLIP).map(|(name, shape)| (name.to_owned(), shape));
        assert_eq!(made, expected.collect());
    }

    #[test]
    fn names_of_both_publishers_meet() {
        let pairs = [
            ("vision_model.pre_layrnorm.bias", "visual.ln_pre.bias"),
            (
                "vision_model.encoder.layers.11.self_attn.out_proj.weight",
                "visual.transformer.resblocks.11.attn.out_proj.weight",
            ),
            ("text_model.encoder.layers.0.mlp.fc2.bias", "transformer.resblocks.0.mlp.c_proj.bias"),
            ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ];
        for (theirs, ours) in pairs {
            assert_eq!(native(theirs).as_deref(), Some(ours));
            assert_eq!(native(ours).as_deref(), Some(ours));
            assert_eq!(native(&format!("module.{ours}")).as_deref(), Some(ours));
        }
        assert_eq!(native("text_model.embeddings.position_ids"), None);
        let whole = "transformer.resblocks.0.attn.in_proj_bias".to_owned();
        let third = Piece::of("transformer.resblocks.0.attn.v_proj.bias".into());
        assert_eq!(third, Piece::Third(whole, 2));
    }

    #[test]
    fn thirds_that_do_not_fit_make_no_tensor() {
        let zeros = |shape: &[i64]| Some(Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
        assert_eq!(stacked([zeros(&[2, 3]), zeros(&[2, 3]), None]).unwrap().size(), [4, 3]);
        assert!(stacked([zeros(&[2, 3]), zeros(&[2, 4]), zeros(&[2, 3])]).is_none());
        assert!(stacked([zeros(&[]), zeros(&[]), zeros(&[])]).is_none());
    }

    #[test]
    fn a_tensor_has_one_tower_or_none() {
        let towers = |name: &str| [Tower::Image, Tower::Text].map(|tower| tower.owns(name));
        for name in ["visual.transformer.resblocks.0.ln_1.weight", IMAGE_PROJECTION] {
            assert_eq!(towers(name), [true, false], "{name}");
        }
        for name in ["transformer.resblocks.0.ln_1.weight", TEXT_PROJECTION, "text_projection"] {
            assert_eq!(towers(name), [false, true], "{name}");
        }
        assert_eq!(towers("logit_scale"), [false, false]);
    }
}
