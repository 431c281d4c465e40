//! Published pairs of towers.

use super::{ClipActivation, ClipImageConfig, ClipTextConfig, ClipTransformerConfig};
use crate::WeightFile;

/// A published CLIP model: what its towers are and where its weights come from.
///
/// # Example
/// ```
/// use backbones::{ClipActivation, ClipModel};
/// let model = ClipModel::named("clip-vit-l14-336").unwrap();
/// assert_eq!((model.image.image_size, model.image.embedding), (336, 768));
/// assert_eq!(model.text.transformer.activation, ClipActivation::QuickGelu);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipModel {
    /// The name that recipes call it by.
    pub name: &'static str,
    /// The image tower.
    pub image: ClipImageConfig,
    /// The text tower.
    pub text: ClipTextConfig,
    /// A file with both towers. Files of other publishers with the same weights do as well, such as those of transformers.
    pub file: WeightFile,
}

/// A file in a repository of the Hugging Face hub, named after the repository.
macro_rules! hub {
    ($owner:literal, $repository:literal, $file:literal) => {
        WeightFile {
            name: concat!($repository, ".bin"),
            url: concat!(
                "https://huggingface.co/",
                $owner,
                "/",
                $repository,
                "/resolve/main/",
                $file
            ),
            sha256: "",
            license: "MIT",
        }
    };
}

/// A file of `OpenAI`, a TorchScript module in half precision. Its checksum is part of its address.
macro_rules! openai {
    ($sha256:literal, $file:literal) => {
        WeightFile {
            name: $file,
            url: concat!("https://openaipublic.azureedge.net/clip/models/", $sha256, "/", $file),
            sha256: $sha256,
            license: "MIT",
        }
    };
}

impl ClipModel {
    /// `OpenAI`'s ViT-B/32.
    pub const OPENAI_VIT_B32: Self = Self {
        name: "clip-vit-b32",
        image: image([224, 32, 512], transformer([768, 12, 12, 3072], OPENAI)),
        text: text(512, transformer([512, 12, 8, 2048], OPENAI)),
        file: openai!(
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            "ViT-B-32.pt"
        ),
    };

    /// `OpenAI`'s ViT-B/16.
    pub const OPENAI_VIT_B16: Self = Self {
        name: "clip-vit-b16",
        image: image([224, 16, 512], transformer([768, 12, 12, 3072], OPENAI)),
        file: openai!(
            "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
            "ViT-B-16.pt"
        ),
        ..Self::OPENAI_VIT_B32
    };

    /// `OpenAI`'s ViT-L/14 for images of 224 pixels.
    pub const OPENAI_VIT_L14: Self = Self {
        name: "clip-vit-l14",
        image: image([224, 14, 768], transformer([1024, 24, 16, 4096], OPENAI)),
        text: text(768, transformer([768, 12, 12, 3072], OPENAI)),
        file: openai!(
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            "ViT-L-14.pt"
        ),
    };

    /// `OpenAI`'s ViT-L/14 for images of 336 pixels: that of CMMD.
    pub const OPENAI_VIT_L14_336: Self = Self {
        name: "clip-vit-l14-336",
        image: image([336, 14, 768], transformer([1024, 24, 16, 4096], OPENAI)),
        file: openai!(
            "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
            "ViT-L-14-336px.pt"
        ),
        ..Self::OPENAI_VIT_L14
    };

    /// `OpenCLIP`'s ViT-H/14 with the weights `laion2b_s32b_b79k`.
    pub const OPENCLIP_VIT_H14: Self = Self {
        name: "openclip-vit-h14 laion2b_s32b_b79k",
        image: image([224, 14, 1024], transformer([1280, 32, 16, 5120], LAION)),
        text: text(1024, transformer([1024, 24, 16, 4096], LAION)),
        file: hub!("laion", "CLIP-ViT-H-14-laion2B-s32B-b79K", "open_clip_pytorch_model.bin"),
    };

    /// `OpenCLIP`'s ViT-g/14 with the weights `laion2b_s12b_b42k`: that of ADD's, LCM's and DMD2's scores.
    pub const OPENCLIP_VIT_G14: Self = Self {
        name: "openclip-vit-g14 laion2b_s12b_b42k",
        image: image([224, 14, 1024], transformer([1408, 40, 16, 6144], LAION)),
        file: hub!("laion", "CLIP-ViT-g-14-laion2B-s12B-b42K", "open_clip_pytorch_model.bin"),
        ..Self::OPENCLIP_VIT_H14
    };

    /// `OpenCLIP`'s ViT-bigG/14 with the weights `laion2b_s39b_b160k`.
    pub const OPENCLIP_VIT_BIGG14: Self = Self {
        name: "openclip-vit-bigg14 laion2b_s39b_b160k",
        image: image([224, 14, 1280], transformer([1664, 48, 16, 8192], LAION)),
        text: text(1280, transformer([1280, 32, 20, 5120], LAION)),
        file: hub!("laion", "CLIP-ViT-bigG-14-laion2B-39B-b160k", "open_clip_pytorch_model.bin"),
    };

    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::OPENAI_VIT_B32,
        Self::OPENAI_VIT_B16,
        Self::OPENAI_VIT_L14,
        Self::OPENAI_VIT_L14_336,
        Self::OPENCLIP_VIT_H14,
        Self::OPENCLIP_VIT_G14,
        Self::OPENCLIP_VIT_BIGG14,
    ];

    /// The model of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|model| model.name == name)
    }
}

const OPENAI: ClipActivation = ClipActivation::QuickGelu;
const LAION: ClipActivation = ClipActivation::Gelu;

const fn image(
    [image_size, patch, embedding]: [i64; 3],
    transformer: ClipTransformerConfig,
) -> ClipImageConfig {
    ClipImageConfig { image_size, patch, embedding, transformer }
}

const fn text(embedding: i64, transformer: ClipTransformerConfig) -> ClipTextConfig {
    ClipTextConfig { context: 77, vocabulary: 49_408, embedding, transformer }
}

const fn transformer(
    [width, layers, heads, hidden]: [i64; 4],
    activation: ClipActivation,
) -> ClipTransformerConfig {
    ClipTransformerConfig { width, layers, heads, hidden, activation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn towers_of_a_model_belong_together() {
        for (i, model) in ClipModel::ALL.iter().enumerate() {
            assert_eq!(ClipModel::named(model.name), Some(model));
            assert_eq!(model.image.embedding, model.text.embedding, "{}", model.name);
            assert_eq!(model.image.image_size % model.image.patch, 0, "{}", model.name);
            for transformer in [model.image.transformer, model.text.transformer] {
                assert_eq!(transformer.width % transformer.heads, 0, "{}", model.name);
                assert_eq!(transformer.activation, model.image.transformer.activation);
            }
            assert!(ClipModel::ALL[..i].iter().all(|other| other.file.name != model.file.name));
        }
        assert!(ClipModel::named("clip-rn50").is_none());
    }
}
