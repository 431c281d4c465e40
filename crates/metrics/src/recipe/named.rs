//! The recipes of published programs.

use super::{Recipe, Scaling};
use crate::{ByteRule, Divisor, Resize};
use std::borrow::Cow::Borrowed;

/// The trained network of every FID.
const INCEPTION: &str = "inception-2015-12-05";

impl Recipe {
    /// NVlabs/edm `fid.py`, also SiD, GDD and EDM2's FID.
    pub const EDM_FID: Self = Self {
        name: Borrowed("EDM FID"),
        distance: [Borrowed("Fréchet Inception distance (EDM)"), Borrowed("FID")],
        bytes: ByteRule::Edm,
        resize: Some((Resize::Tensorflow1Bilinear, 299)),
        scaling: Scaling::Inception,
        network: Borrowed(INCEPTION),
        output: Borrowed("pool3"),
        dim: 2048,
        divisor: Divisor::Sample,
    };

    /// The `fid50k` of StyleGAN2-ADA and `stylegan3`: covariances by `N`.
    pub const STYLE_GAN_FID: Self = Self {
        name: Borrowed("StyleGAN FID"),
        distance: [Borrowed("Fréchet Inception distance (StyleGAN)"), Borrowed("FID")],
        divisor: Divisor::Population,
        ..Self::EDM_FID
    };

    /// The evaluator of guided-diffusion (ADM), also consistency models and CTM.
    pub const ADM_FID: Self = Self {
        name: Borrowed("ADM FID"),
        distance: [Borrowed("Fréchet Inception distance (ADM evaluator)"), Borrowed("FID")],
        bytes: ByteRule::ConsistencyModels,
        ..Self::EDM_FID
    };

    /// torch-fidelity with its default extractor, `inception-v3-compat`.
    pub const TORCH_FIDELITY: Self = Self {
        name: Borrowed("torch-fidelity"),
        distance: [Borrowed("Fréchet Inception distance (torch-fidelity)"), Borrowed("FID")],
        bytes: ByteRule::PilFloat,
        ..Self::EDM_FID
    };

    /// pytorch-fid: PyTorch's bilinear resizing and another scale.
    pub const PYTORCH_FID: Self = Self {
        name: Borrowed("pytorch-fid"),
        distance: [Borrowed("Fréchet Inception distance (pytorch-fid)"), Borrowed("FID")],
        bytes: ByteRule::SaveImage,
        resize: Some((Resize::TorchBilinear, 299)),
        scaling: Scaling::Symmetric,
        ..Self::EDM_FID
    };

    /// clean-fid in its mode `clean`: Pillow's bicubic resizing in floating point.
    pub const CLEAN_FID: Self = Self {
        name: Borrowed("clean-fid"),
        distance: [Borrowed("Fréchet Inception distance (clean-fid)"), Borrowed("clean-FID")],
        bytes: ByteRule::SaveImage,
        resize: Some((Resize::PillowBicubicFloat, 299)),
        ..Self::EDM_FID
    };

    /// The outputs that the Inception Score is made of: 1,008 classes, without the bias.
    pub const INCEPTION_SCORE: Self = Self {
        name: Borrowed("Inception Score"),
        distance: [Borrowed("Fréchet distance of Inception's outputs"), Borrowed("logit-FD")],
        output: Borrowed("logits without bias"),
        dim: 1008,
        ..Self::EDM_FID
    };

    /// The features of precision and recall in StyleGAN2-ADA and `stylegan3`: VGG16's second hidden layer, activated.
    ///
    /// There the network resizes and scales inside, as is done here before it: images of any size become 224 × 224 as in
    /// TensorFlow 1, by the statistics of ImageNet. The file alone is published, not its source: that it does so is known
    /// from bytedance/Hammer, `models/perceptual_model.py`, whose tests compare features with the file's, and torch-fidelity
    /// does the same.
    pub const STYLE_GAN_VGG16: Self = Self {
        name: Borrowed("StyleGAN VGG16"),
        distance: [Borrowed("Fréchet distance of VGG16's features"), Borrowed("VGG-FD")],
        resize: Some((Resize::Tensorflow1Bilinear, 224)),
        scaling: Scaling::IMAGENET,
        network: Borrowed("vgg16 (StyleGAN)"),
        output: Borrowed("fc2 after ReLU"),
        dim: 4096,
        ..Self::EDM_FID
    };

    /// The features of precision and recall in torch-fidelity, extractor `vgg16`, output `fc2_relu`: as
    /// [`Recipe::STYLE_GAN_VGG16`] with torchvision's weights.
    pub const TORCH_FIDELITY_VGG16: Self = Self {
        name: Borrowed("torch-fidelity VGG16"),
        distance: [
            Borrowed("Fréchet distance of VGG16's features (torch-fidelity)"),
            Borrowed("VGG-FD"),
        ],
        bytes: ByteRule::PilFloat,
        network: Borrowed("vgg16 (torchvision)"),
        ..Self::STYLE_GAN_VGG16
    };

    /// dgm-eval's FD-DINOv2: ViT-L/14, Pillow's bicubic resizing of bytes.
    pub const FD_DINOV2: Self = Self {
        name: Borrowed("FD-DINOv2"),
        distance: [
            Borrowed("Fréchet distance of DINOv2 features (dgm-eval)"),
            Borrowed("FD-DINOv2"),
        ],
        bytes: ByteRule::Edm,
        resize: Some((Resize::PillowBicubic, 224)),
        scaling: Scaling::IMAGENET,
        network: Borrowed("dinov2-vit-l14"),
        output: Borrowed("class token after the last norm"),
        dim: 1024,
        divisor: Divisor::Sample,
    };

    /// EDM2's FD-DINOv2: PyTorch's smoothed bicubic resizing instead of Pillow's, else dgm-eval's.
    pub const EDM2_FD_DINOV2: Self = Self {
        name: Borrowed("EDM2 FD-DINOv2"),
        distance: [Borrowed("Fréchet distance of DINOv2 features (EDM2)"), Borrowed("FD-DINOv2")],
        resize: Some((Resize::TorchBicubicSmooth, 224)),
        ..Self::FD_DINOV2
    };

    /// The embeddings of CMMD: CLIP ViT-L/14 at 336 pixels, projected, of unit length.
    pub const CMMD: Self = Self {
        name: Borrowed("CMMD"),
        distance: [Borrowed("Fréchet distance of CLIP embeddings"), Borrowed("CLIP-FD")],
        bytes: ByteRule::Round,
        resize: Some((Resize::TorchBicubic, 336)),
        scaling: Scaling::CLIP,
        network: Borrowed("clip-vit-l14-336"),
        output: Borrowed("image embedding of unit length"),
        dim: 768,
        divisor: Divisor::Sample,
    };

    /// All of them.
    pub const NAMED: &'static [Self] = &[
        Self::EDM_FID,
        Self::STYLE_GAN_FID,
        Self::ADM_FID,
        Self::TORCH_FIDELITY,
        Self::PYTORCH_FID,
        Self::CLEAN_FID,
        Self::INCEPTION_SCORE,
        Self::STYLE_GAN_VGG16,
        Self::TORCH_FIDELITY_VGG16,
        Self::FD_DINOV2,
        Self::EDM2_FD_DINOV2,
        Self::CMMD,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_recipes_that_differ_are_refused() {
        for (i, recipe) in Recipe::NAMED.iter().enumerate() {
            assert_eq!(Recipe::named(&recipe.name).as_ref(), Some(recipe));
            assert!(recipe.require_same(recipe).is_ok());
            assert!(Recipe::NAMED[..i].iter().all(|other| other.name != recipe.name));
        }
        let differ = [Recipe::STYLE_GAN_FID, Recipe::PYTORCH_FID, Recipe::CLEAN_FID];
        for other in differ {
            assert!(Recipe::EDM_FID.require_same(&other).is_err(), "{other}");
        }
    }
}
