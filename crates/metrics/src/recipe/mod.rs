//! How the features of a published distance are made.

mod features;
mod named;
mod scaling;

pub use features::{FeatureNetwork, RecipeFeatures};
pub use scaling::Scaling;

use crate::{ByteRule, Divisor, Error, ImageShape, Resize, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use tch::{Kind, Tensor};

/// Everything on the way from an image to the statistics of a published distance, as plain data.
///
/// Values and references of different recipes are not comparable: [`Recipe::require_same`] refuses them. Named recipes are
/// constants: [`Recipe::EDM_FID`], [`Recipe::STYLE_GAN_FID`], [`Recipe::PYTORCH_FID`], [`Recipe::CLEAN_FID`],
/// [`Recipe::TORCH_FIDELITY`] and others in [`Recipe::NAMED`]. A variation is a changed copy.
///
/// # Example
/// ```
/// use metrics::Recipe;
/// let text = Recipe::PYTORCH_FID.to_string();
/// assert!(text.contains("inception-2015-12-05, pool3, 2048 dimensions"), "{text}");
/// assert!(Recipe::EDM_FID.require_same(&Recipe::TORCH_FIDELITY).is_ok()); // the same by two names
/// let error = Recipe::EDM_FID.require_same(&Recipe::PYTORCH_FID).unwrap_err().to_string();
/// assert!(error.contains("EDM FID") && error.contains("pytorch-fid"), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The name it goes by.
    pub name: Cow<'static, str>,
    /// Full name of the Fréchet distance and the heading of its column.
    pub distance: [Cow<'static, str>; 2],
    /// How values in `[-1, 1]` become bytes. Images that are bytes already, as those of a reference, do not need it.
    pub bytes: ByteRule,
    /// The resizing and the height and width it leads to; `None` for networks that take any size.
    pub resize: Option<(Resize, i64)>,
    /// From levels to the input of the network.
    pub scaling: Scaling,
    /// The trained network.
    pub network: Cow<'static, str>,
    /// Which of its outputs.
    pub output: Cow<'static, str>,
    /// Entries of a feature vector.
    pub dim: i64,
    /// The divisor of covariances.
    pub divisor: Divisor,
}

impl Recipe {
    /// The named recipe of that name.
    ///
    /// ```
    /// assert_eq!(metrics::Recipe::named("clean-fid"), Some(metrics::Recipe::CLEAN_FID));
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|recipe| recipe.name == name).cloned()
    }

    /// The input of the network for images of bytes, `[B, C, H, W]` with one or three channels: `f32`, three channels.
    ///
    /// # Errors
    /// [`Error::NotBytes`], [`Error::NotImages`], [`Error::Channels`] for unusable images.
    pub fn prepare(&self, bytes: &Tensor) -> Result<Tensor> {
        let found = ImageShape::of_bytes(bytes)?.channels;
        if ![1, 3].contains(&found) {
            return Err(Error::Channels { found });
        }
        let levels = match self.resize {
            Some((resize, size)) => resize.apply(bytes, [size, size])?,
            None => bytes.to_kind(Kind::Float),
        };
        Ok(self.scaling.apply(&levels.expand([-1, 3, -1, -1], false)))
    }

    /// Checks that features by `other` mean the same as features by this recipe.
    ///
    /// Names do not matter, nor does the rule for bytes, which belongs to the images that were made and not to those of a
    /// reference.
    ///
    /// # Errors
    /// [`Error::OtherRecipe`], which prints both.
    pub fn require_same(&self, other: &Self) -> Result<()> {
        let renamed = Self {
            name: self.name.clone(),
            distance: self.distance.clone(),
            bytes: self.bytes,
            ..other.clone()
        };
        if *self == renamed {
            return Ok(());
        }
        Err(Error::OtherRecipe { expected: self.clone().into(), found: other.clone().into() })
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, scaling, network, output, dim, divisor, .. } = self;
        write!(f, "{name}: bytes by {bytes}; ")?;
        match self.resize {
            Some((resize, size)) => write!(f, "{resize} to {size}x{size}; ")?,
            None => write!(f, "not resized; ")?,
        }
        write!(f, "{scaling}; {network}, {output}, {dim} dimensions; covariance by {divisor}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn images_are_prepared_as_the_parts_say() {
        let grey = Tensor::full([2, 1, 5, 7], 64, (Kind::Uint8, Device::Cpu));
        let pixels = Recipe::EDM_FID.prepare(&grey).unwrap();
        assert_eq!(pixels.size(), [2, 3, 299, 299]);
        assert_eq!(pixels.min().double_value(&[]), -0.5);
        assert_eq!(pixels.max().double_value(&[]), -0.5);
        let any_size = Recipe { resize: None, ..Recipe::EDM_FID };
        assert_eq!(any_size.prepare(&grey).unwrap().size(), [2, 3, 5, 7]);
        let two = Tensor::zeros([1, 2, 5, 7], (Kind::Uint8, Device::Cpu));
        assert!(matches!(Recipe::EDM_FID.prepare(&two), Err(Error::Channels { found: 2 })));
        let float = grey.to_kind(Kind::Float);
        assert!(matches!(any_size.prepare(&float), Err(Error::NotBytes { .. })));
    }

    #[test]
    fn every_part_that_changes_features_is_compared() {
        let recipe = Recipe::EDM_FID;
        let others = [
            Recipe { resize: Some((Resize::TorchBilinear, 299)), ..recipe.clone() },
            Recipe { resize: None, ..recipe.clone() },
            Recipe { scaling: Scaling::Symmetric, ..recipe.clone() },
            Recipe { network: "vgg16".into(), ..recipe.clone() },
            Recipe { output: "logits".into(), ..recipe.clone() },
            Recipe { dim: 768, ..recipe.clone() },
            Recipe { divisor: Divisor::Population, ..recipe.clone() },
        ];
        for other in others {
            let error = recipe.require_same(&other).unwrap_err();
            assert!(matches!(error, Error::OtherRecipe { found, .. } if *found == other));
        }
        let renamed = Recipe { name: "mine".into(), bytes: ByteRule::Round, ..recipe.clone() };
        assert!(recipe.require_same(&renamed).is_ok());
    }

    #[test]
    fn a_recipe_survives_json() {
        for recipe in Recipe::NAMED {
            let json = serde_json::to_string(recipe).unwrap();
            assert_eq!(&serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
    }
}
