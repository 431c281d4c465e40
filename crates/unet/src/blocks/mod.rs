//! The parts that U-Nets are made of. Each registers its tensors under the official names.

mod attention;
mod conv;
mod embedding;
mod group_norm;
mod linear;
mod resample;
mod unet_block;

pub(crate) use conv::Conv2d;
pub(crate) use embedding::PositionalEmbedding;
pub(crate) use group_norm::GroupNorm;
pub(crate) use linear::Linear;
pub(crate) use resample::Resample;
pub(crate) use unet_block::{BlockShape, UnetBlock};
