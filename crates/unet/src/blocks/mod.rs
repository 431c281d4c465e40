//! The parts that networks are made of. Each registers its tensors under the official names.

mod attend;
mod attention;
mod block_style;
mod condition;
mod conv;
mod embedding;
mod fourier;
mod fused_down;
mod group_norm;
mod guided_attention;
mod guided_block;
mod halving_conv;
mod layer_norm;
mod linear;
mod pass;
mod pointwise;
mod qkv;
mod resample;
mod resampler;
mod segment;
mod unet_block;

pub(crate) use attend::attend;
pub(crate) use block_style::{BlockStyle, edm_groups};
pub(crate) use condition::{hide_rows, rows_or_zeros};
pub(crate) use conv::Conv2d;
pub(crate) use embedding::{Order, PositionalEmbedding};
pub(crate) use fourier::FourierEmbedding;
pub(crate) use fused_down::FusedDown;
pub(crate) use group_norm::GroupNorm;
pub(crate) use guided_attention::{GuidedAttention, GuidedAttentionShape};
pub(crate) use guided_block::{
    GUIDED_GROUPS, GuidedBlock, GuidedBlockShape, GuidedBlockStyle, Modulation, guided_norm,
};
pub(crate) use halving_conv::HalvingConv;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
pub(crate) use pass::{Pass, unbroken};
pub(crate) use pointwise::Pointwise;
pub(crate) use qkv::QkvOrder;
pub(crate) use resample::Resample;
pub(crate) use resampler::Resampler;
pub(crate) use segment::{Block, Segment};
pub(crate) use unet_block::{BlockShape, UnetBlock};
