//! The names of StyleGAN's files of Inception.
//!
//! They follow the TensorFlow graph: `layers.mixed_4.tower_1.conv_2` with `weight`, `beta`, `mean` and `var`, and
//! `output` with `weight` and `bias`. The normalization has no scale; pytorch-fid's files say that it is 1.

use tch::Tensor;

/// A name that tells these files from others.
const MARK: &str = "layers.conv.weight";

/// Names of layers and blocks in these files, and in those of pytorch-fid.
const LAYERS: [(&str, &str); 5] = [
    ("conv", "Conv2d_1a_3x3"),
    ("conv_1", "Conv2d_2a_3x3"),
    ("conv_2", "Conv2d_2b_3x3"),
    ("conv_3", "Conv2d_3b_1x1"),
    ("conv_4", "Conv2d_4a_3x3"),
];
const BLOCKS: [(&str, &str, Rows); 11] = [
    ("mixed", "Mixed_5b", FINE),
    ("mixed_1", "Mixed_5c", FINE),
    ("mixed_2", "Mixed_5d", FINE),
    ("mixed_3", "Mixed_6a", FINE_TO_MIDDLE),
    ("mixed_4", "Mixed_6b", MIDDLE),
    ("mixed_5", "Mixed_6c", MIDDLE),
    ("mixed_6", "Mixed_6d", MIDDLE),
    ("mixed_7", "Mixed_6e", MIDDLE),
    ("mixed_8", "Mixed_7a", MIDDLE_TO_COARSE),
    ("mixed_9", "Mixed_7b", COARSE),
    ("mixed_10", "Mixed_7c", COARSE),
];

/// Names of the layers in one kind of block.
type Rows = &'static [(&'static str, &'static str)];

const FINE: Rows = &[
    ("conv", "branch1x1"),
    ("tower.conv", "branch5x5_1"),
    ("tower.conv_1", "branch5x5_2"),
    ("tower_1.conv", "branch3x3dbl_1"),
    ("tower_1.conv_1", "branch3x3dbl_2"),
    ("tower_1.conv_2", "branch3x3dbl_3"),
    ("tower_2.conv", "branch_pool"),
];
const FINE_TO_MIDDLE: Rows = &[
    ("conv", "branch3x3"),
    ("tower.conv", "branch3x3dbl_1"),
    ("tower.conv_1", "branch3x3dbl_2"),
    ("tower.conv_2", "branch3x3dbl_3"),
];
const MIDDLE: Rows = &[
    ("conv", "branch1x1"),
    ("tower.conv", "branch7x7_1"),
    ("tower.conv_1", "branch7x7_2"),
    ("tower.conv_2", "branch7x7_3"),
    ("tower_1.conv", "branch7x7dbl_1"),
    ("tower_1.conv_1", "branch7x7dbl_2"),
    ("tower_1.conv_2", "branch7x7dbl_3"),
    ("tower_1.conv_3", "branch7x7dbl_4"),
    ("tower_1.conv_4", "branch7x7dbl_5"),
    ("tower_2.conv", "branch_pool"),
];
const MIDDLE_TO_COARSE: Rows = &[
    ("tower.conv", "branch3x3_1"),
    ("tower.conv_1", "branch3x3_2"),
    ("tower_1.conv", "branch7x7x3_1"),
    ("tower_1.conv_1", "branch7x7x3_2"),
    ("tower_1.conv_2", "branch7x7x3_3"),
    ("tower_1.conv_3", "branch7x7x3_4"),
];
const COARSE: Rows = &[
    ("conv", "branch1x1"),
    ("tower_conv", "branch3x3_1"),
    ("tower_mixed_conv", "branch3x3_2a"),
    ("tower_mixed_conv_1", "branch3x3_2b"),
    ("tower_1_conv", "branch3x3dbl_1"),
    ("tower_1_conv_1", "branch3x3dbl_2"),
    ("tower_1_mixed_conv", "branch3x3dbl_3a"),
    ("tower_1_mixed_conv_1", "branch3x3dbl_3b"),
    ("tower_2_conv", "branch_pool"),
];

/// What a layer consists of.
const PARTS: [(&str, &str); 4] = [
    ("weight", "conv.weight"),
    ("beta", "bn.bias"),
    ("mean", "bn.running_mean"),
    ("var", "bn.running_var"),
];

/// The tensors under pytorch-fid's names, if they are those of a StyleGAN file; others as they are.
///
/// Names that are not known keep theirs, so that a file that differs is refused by them.
pub(super) fn renamed(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    if !tensors.iter().any(|(name, _)| name == MARK) {
        return tensors;
    }
    let scales: Vec<_> = tensors.iter().filter_map(|(name, beta)| scale(name, beta)).collect();
    let rename = |(name, tensor): (String, Tensor)| (published(&name).unwrap_or(name), tensor);
    tensors.into_iter().map(rename).chain(scales).collect()
}

/// The scale of 1 that belongs to a `beta`.
fn scale(name: &str, beta: &Tensor) -> Option<(String, Tensor)> {
    let bias = published(name)?;
    Some((format!("{}bn.weight", bias.strip_suffix("bn.bias")?), beta.ones_like()))
}

/// pytorch-fid's name of a tensor.
fn published(name: &str) -> Option<String> {
    if let Some(part) = name.strip_prefix("output.") {
        return Some(format!("fc.{part}"));
    }
    let (layer, part) = name.strip_prefix("layers.")?.rsplit_once('.')?;
    Some(format!("{}.{}", published_layer(layer)?, find(&PARTS, part)?))
}

fn published_layer(name: &str) -> Option<String> {
    if let Some(layer) = find(&LAYERS, name) {
        return Some(layer.into());
    }
    let (block, layer) = name.split_once('.')?;
    let (_, published, rows) = BLOCKS.iter().find(|row| row.0 == block)?;
    Some(format!("{published}.{}", find(rows, layer)?))
}

fn find(rows: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    rows.iter().find(|row| row.0 == name).map(|row| row.1)
}
