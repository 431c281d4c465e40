//! Vision transformers.

mod block;
mod deit;
mod dinov2;
mod tokens;

pub use deit::DeitBaseDistilled;
pub use dinov2::{DinoV2, DinoV2Config, DinoV2Features, DinoV2Size};
