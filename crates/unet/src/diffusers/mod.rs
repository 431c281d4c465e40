//! What the networks of the library diffusers have in common.
//!
//! A network is a [`Body`] of [`Stage`]s, which a [`Plan`] lists; what differs is how its configuration becomes a plan and
//! how its conditions become a vector.

mod attention;
mod body;
pub(crate) mod check;
mod class;
mod condition;
mod fields;
mod heads;
mod ladder;
mod per_block;
mod plan;
mod resampler;
mod resnet;
mod stage;
mod time;
mod time_scale_shift;
mod transformer;

pub(crate) use body::Body;
pub(crate) use class::ClassEmbedding;
pub(crate) use condition::required;
pub(crate) use fields::{Fields, OtherFields};
pub(crate) use ladder::Ladder;
pub use per_block::PerBlock;
pub(crate) use plan::{AttentionPlan, PixelsPlan, Plan, StagePlan, Style, TransformerPlan};
pub(crate) use stage::{Flow, Stage};
pub(crate) use time::{TimeEmbedding, guidance_sinusoids, sinusoids};
pub use time_scale_shift::TimeScaleShift;
