//! Layers that several networks are made of.

mod attention;
mod channels_last;
mod conv;
mod conv_norm;
mod layer_norm;
mod linear;

pub(crate) use attention::{Sight, attend};
pub(crate) use channels_last::channels_last;
pub(crate) use conv::{Conv, Geometry};
pub(crate) use conv_norm::ConvNorm;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
