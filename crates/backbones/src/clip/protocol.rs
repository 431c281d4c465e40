//! How a published CLIP score is made.

use super::ClipModel;
use crate::{Error, Result};
use metrics::{ByteRule, ImageShape, Resize, Scaling};
use std::borrow::Cow;
use std::fmt;
use tch::{Kind, Tensor};

/// Everything that decides a CLIP score, as plain data. Scores of different protocols are not comparable.
///
/// Images must be square: how others are cropped is up to who loads them, usually to the center.
///
/// # Example
/// ```
/// use backbones::{ClipModel, ClipProtocol};
/// let text = ClipProtocol::plain(ClipModel::OPENAI_VIT_B32).to_string();
/// assert!(text.contains("to 224x224") && text.ends_with("clip-vit-b32; texts as they are"), "{text}");
/// assert!(ClipProtocol::dmd2().to_string().contains("\"A photo depicts \""));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClipProtocol {
    /// The name it goes by.
    pub name: Cow<'static, str>,
    /// How values in `[-1, 1]` become bytes.
    pub bytes: ByteRule,
    /// Resizings one after the other, with the sides they lead to; bytes in between.
    pub resizes: Vec<(Resize, i64)>,
    /// From levels to the input of the image tower.
    pub scaling: Scaling,
    /// What is put before every text.
    pub prefix: Cow<'static, str>,
    /// The towers.
    pub model: ClipModel,
}

impl ClipProtocol {
    /// Images and texts as the preprocessing of CLIP and `OpenCLIP` takes them: Pillow's bicubic resizing, no prefix.
    pub fn plain(model: ClipModel) -> Self {
        Self {
            name: "CLIP score".into(),
            bytes: ByteRule::ConsistencyModels,
            resizes: vec![(Resize::PillowBicubic, model.image.image_size)],
            scaling: Scaling::CLIP,
            prefix: "".into(),
            model,
        }
    }

    /// DMD2's evaluation: images first to 256 pixels by Pillow's Lanczos filter, texts behind `A photo depicts `, ViT-g/14.
    /// Its tables hold means over 30,000 captions of COCO.
    ///
    /// # Source
    /// Yin et al. 2024, arXiv:2405.14867; official evaluation code of tianweiy/DMD2.
    pub fn dmd2() -> Self {
        let model = ClipModel::OPENCLIP_VIT_G14;
        Self {
            name: "CLIP score (DMD2)".into(),
            resizes: vec![(Resize::PillowLanczos, 256), (Resize::PillowBicubic, 224)],
            prefix: "A photo depicts ".into(),
            ..Self::plain(model)
        }
    }

    /// The input of the image tower for images of bytes, `[B, C, S, S]` with one or three channels: `f32`, three channels.
    ///
    /// # Errors
    /// [`Error::NotSquare`] for images that are not, [`Error::Metric`] for those that are unusable otherwise.
    pub fn prepare(&self, bytes: &Tensor) -> Result<Tensor> {
        let ImageShape { channels, height, width } = ImageShape::of_bytes(bytes)?;
        if ![1, 3].contains(&channels) {
            return Err(metrics::Error::Channels { found: channels }.into());
        }
        if height != width {
            return Err(Error::NotSquare { height, width });
        }
        let mut levels = bytes.to_kind(Kind::Float);
        for &(resize, side) in &self.resizes {
            let bytes = levels.round().clamp(0.0, 255.0).to_kind(Kind::Uint8);
            levels = resize.apply(&bytes, [side, side])?;
        }
        Ok(self.scaling.apply(&levels.expand([-1, 3, -1, -1], false)))
    }

    /// The texts with the prefix.
    pub fn prefixed(&self, texts: &[impl AsRef<str>]) -> Vec<String> {
        texts.iter().map(|text| format!("{}{}", self.prefix, text.as_ref())).collect()
    }
}

impl fmt::Display for ClipProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, resizes, scaling, prefix, model } = self;
        write!(f, "{name}: bytes by {bytes}; ")?;
        for (resize, side) in resizes {
            write!(f, "{resize} to {side}x{side}; ")?;
        }
        write!(f, "{scaling}; {}; ", model.name)?;
        match &**prefix {
            "" => f.write_str("texts as they are"),
            prefix => write!(f, "texts behind {prefix:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn bytes(shape: [i64; 4]) -> Tensor {
        (diffusion_core::Noise::new(1).uniform(&shape) * 255.0).to_kind(Kind::Uint8)
    }

    #[test]
    fn the_resizings_follow_each_other() {
        let images = bytes([1, 1, 300, 300]);
        let first = Resize::PillowLanczos.apply(&images, [256, 256]).unwrap();
        let second = Resize::PillowBicubic.apply(&first.to_kind(Kind::Uint8), [224, 224]).unwrap();
        let expected = Scaling::CLIP.apply(&second.expand([-1, 3, -1, -1], false));
        assert_eq!(ClipProtocol::dmd2().prepare(&images).unwrap(), expected);
        let plain = ClipProtocol::plain(ClipModel::OPENCLIP_VIT_G14).prepare(&images).unwrap();
        assert!((plain - expected).abs().max().double_value(&[]) > 0.1);
    }

    #[test]
    fn unusable_images_are_refused() {
        let of = |images: &Tensor| ClipProtocol::dmd2().prepare(images).unwrap_err();
        let wide = of(&bytes([1, 3, 16, 24]));
        assert!(matches!(wide, Error::NotSquare { height: 16, width: 24 }), "{wide}");
        let other = |images: &Tensor| match of(images) {
            Error::Metric(error) => error,
            error => panic!("{error}"),
        };
        let two = other(&bytes([1, 2, 16, 16]));
        assert!(matches!(two, metrics::Error::Channels { found: 2 }));
        let float = Tensor::zeros([1, 3, 16, 16], (Kind::Float, Device::Cpu));
        assert!(matches!(other(&float), metrics::Error::NotBytes { .. }));
        assert!(matches!(other(&bytes([0, 3, 16, 16])), metrics::Error::NotImages { .. }));
    }
}
