//! Frozen networks whose features metrics and losses compare.
//!
//! | network | weights from | used by |
//! |---|---|---|
//! | [`Inception`] | pytorch-fid, torch-fidelity, StyleGAN | FID, KID, Inception Score, precision and recall |
//! | [`Vgg16`] | torchvision, StyleGAN | precision and recall, discriminators |
//! | [`Lpips`] | torchvision and richzhang or piq | perceptual distances |
//! | [`DinoV2`] | Meta | FD-DINOv2 |
//! | [`ClipImage`], [`ClipText`] | OpenAI, `OpenCLIP` | CMMD, [`ClipScore`] |
//! | [`DeitBaseDistilled`], [`EfficientNetLite0`] | timm | projected discriminators |
//! | [`LeNet`] | training it here | distances and agreement with labels on MNIST |
//!
//! Tensors have their published names, and files are read as they are published, by [`weights`]. All networks compute in
//! `f32`, in evaluation mode. What is done to images before (resizing, scaling, rounding) is the recipe of a metric, and
//! not done here; [`recipe_features`] joins a recipe of [`metrics`] with the network that it names.
#![forbid(unsafe_code)]

mod blocks;
mod clip;
mod efficientnet_lite0;
mod error;
mod inception;
mod lenet;
mod lpips;
mod recipe_features;
mod tensors;
mod vgg16;
mod vision_transformer;
mod weight_file;

pub use clip::{
    ClipActivation, ClipImage, ClipImageConfig, ClipImageFeatures, ClipModel, ClipProtocol,
    ClipScore, ClipText, ClipTextConfig, ClipTextFeatures, ClipTokenizer, ClipTransformerConfig,
};
pub use efficientnet_lite0::EfficientNetLite0;
pub use error::{Error, Result};
pub use inception::{Inception, InceptionBlocks};
pub use lenet::{LeNet, LeNetOutput};
pub use lpips::{Lpips, LpipsFlavor};
pub use recipe_features::{PublishedFeatures, recipe_features, weight_file};
pub use vgg16::{Pooling, Vgg16, Vgg16Variant};
pub use vision_transformer::{DeitBaseDistilled, DinoV2, DinoV2Config, DinoV2Features, DinoV2Size};
pub use weight_file::{WeightFile, cache_folder, read_into};
