//! What towers a file holds.

use super::names::native;
use super::{ClipActivation, ClipImageConfig, ClipTextConfig, ClipTransformerConfig};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The image tower of a file.
pub(super) fn image(path: &Path, activation: ClipActivation) -> Result<ClipImageConfig> {
    image_of(&Shapes::of(path, "image")?, activation)
}

/// The text tower of a file.
pub(super) fn text(path: &Path, activation: ClipActivation) -> Result<ClipTextConfig> {
    text_of(&Shapes::of(path, "text")?, activation)
}

fn image_of(shapes: &Shapes<'_>, activation: ClipActivation) -> Result<ClipImageConfig> {
    let [width, colors, patch, patch_width] = shapes.get("visual.conv1.weight")?;
    if colors != 3 || patch < 1 || patch != patch_width {
        return Err(shapes.missing("visual.conv1.weight"));
    }
    let heads = match width {
        768 => 12,
        1024 | 1280 | 1408 | 1664 => 16,
        _ => return Err(shapes.unknown_width(width)),
    };
    let patches = shapes.rows("visual.positional_embedding", width)? - 1;
    let image_size = (patches as f64).sqrt().round() as i64 * patch;
    let embedding = shapes.projection(["visual.proj", "visual_projection.weight"], width)?;
    let transformer = shapes.transformer("visual.transformer", [width, heads], activation)?;
    Ok(ClipImageConfig { image_size, patch, embedding, transformer })
}

fn text_of(shapes: &Shapes<'_>, activation: ClipActivation) -> Result<ClipTextConfig> {
    let [vocabulary, width] = shapes.get("token_embedding.weight")?;
    let heads = match width {
        512 | 768 | 1024 | 1280 => width / 64,
        _ => return Err(shapes.unknown_width(width)),
    };
    let context = shapes.rows("positional_embedding", width)?;
    let embedding = shapes.projection(["text_projection", "text_projection.weight"], width)?;
    let transformer = shapes.transformer("transformer", [width, heads], activation)?;
    Ok(ClipTextConfig { context, vocabulary, embedding, transformer })
}

/// The shapes of a file's tensors by native names.
struct Shapes<'a> {
    path: &'a Path,
    tower: &'static str,
    by_name: BTreeMap<String, Vec<i64>>,
}

impl<'a> Shapes<'a> {
    fn of(path: &'a Path, tower: &'static str) -> Result<Self> {
        let file = weights::open(path)?;
        let section = "state_dict";
        let file = if file.sections().contains(&section) { file.within(section)? } else { file };
        let shape = |shape: &[usize]| shape.iter().map(|&n| n as i64).collect();
        let named = file.tensors().iter().map(|tensor| (&*tensor.name, shape(&tensor.shape)));
        Ok(Self::named(path, tower, named))
    }

    fn named<'n>(
        path: &'a Path,
        tower: &'static str,
        tensors: impl Iterator<Item = (&'n str, Vec<i64>)>,
    ) -> Self {
        let native = tensors.filter_map(|(name, shape)| Some((native(name)?, shape)));
        Self { path, tower, by_name: native.collect() }
    }

    /// The shape of a tensor that every tower of the kind has.
    fn get<const N: usize>(&self, name: &'static str) -> Result<[i64; N]> {
        let found = self.by_name.get(name).and_then(|shape| shape[..].try_into().ok());
        found.ok_or_else(|| self.missing(name))
    }

    /// The rows of a matrix with `columns` columns.
    fn rows(&self, name: &'static str, columns: i64) -> Result<i64> {
        match self.get(name)? {
            [rows, found] if found == columns => Ok(rows),
            _ => Err(self.missing(name)),
        }
    }

    /// Entries of an embedding: the columns of the native projection, or the rows of the transposed one.
    fn projection(&self, [ours, theirs]: [&'static str; 2], width: i64) -> Result<i64> {
        match self.get(ours) {
            Ok([found, embedding]) if found == width => Ok(embedding),
            _ => self.rows(theirs, width).map_err(|_| self.missing(ours)),
        }
    }

    fn transformer(
        &self,
        name: &str,
        [width, heads]: [i64; 2],
        activation: ClipActivation,
    ) -> Result<ClipTransformerConfig> {
        let perceptron = |layer: i64| {
            let name = format!("{name}.resblocks.{layer}.mlp.c_fc.weight");
            self.by_name.get(&name).map(|shape| &shape[..])
        };
        let layers = (0..).take_while(|&layer| perceptron(layer).is_some()).count() as i64;
        match perceptron(0) {
            Some(&[hidden, found]) if found == width => {
                Ok(ClipTransformerConfig { width, layers, heads, hidden, activation })
            }
            _ => Err(self.missing("mlp.c_fc.weight")),
        }
    }

    fn missing(&self, tensor: &'static str) -> Error {
        Error::NoTower { path: self.path.into(), tower: self.tower, tensor }
    }

    fn unknown_width(&self, width: i64) -> Error {
        Error::UnknownWidth { path: self.path.into(), tower: self.tower, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClipModel;
    use crate::clip::names::tests::{OPENCLIP, TRANSFORMERS, tensors};

    const ACTIVATION: ClipActivation = ClipActivation::QuickGelu;

    #[test]
    fn a_published_model_is_recognized_by_either_s_names() {
        for list in [OPENCLIP, TRANSFORMERS] {
            let shapes = Shapes::named(Path::new("file"), "image", tensors(list));
            let ClipModel { image, text, .. } = ClipModel::OPENAI_VIT_L14_336;
            assert_eq!(image_of(&shapes, ACTIVATION).unwrap(), image);
            assert_eq!(text_of(&shapes, ACTIVATION).unwrap(), text);
        }
    }

    #[test]
    fn what_shapes_do_not_tell_is_an_error() {
        let of = |list: &str| {
            let shapes = Shapes::named(Path::new("file"), "image", tensors(list));
            image_of(&shapes, ACTIVATION).unwrap_err()
        };
        let narrow = of(&OPENCLIP.replace("[1024, 3, 14, 14]", "[640, 3, 14, 14]"));
        assert!(matches!(narrow, Error::UnknownWidth { tower: "image", width: 640, .. }));
        let missing = |list: &str| match of(list) {
            Error::NoTower { tensor, .. } => tensor,
            error => panic!("{error}"),
        };
        assert_eq!(
            missing("visual.layer1.0.conv1.weight [64, 3, 3, 3] float32"),
            "visual.conv1.weight"
        );
        for (from, to, tensor) in [
            ("[1024, 3, 14, 14]", "[1024, 3, 14, 0]", "visual.conv1.weight"),
            ("[1024, 3, 14, 14]", "[1024, 1, 14, 14]", "visual.conv1.weight"),
            ("[577, 1024]", "[577, 0]", "visual.positional_embedding"),
            ("[4096, 1024]", "[4096, 1000]", "mlp.c_fc.weight"),
            ("mlp.c_fc", "mlp.w12", "mlp.c_fc.weight"),
            ("visual.proj [1024", "visual.proj [0", "visual.proj"),
            ("visual.proj", "head", "visual.proj"),
        ] {
            assert_eq!(missing(&OPENCLIP.replace(from, to)), tensor, "{from} {to}");
        }
    }
}
