//! CLIP: images and texts as vectors of one space.

mod activation;
mod image;
mod model;
mod names;
mod protocol;
mod recognize;
mod score;
mod text;
mod tokenizer;
mod transformer;

pub use activation::ClipActivation;
pub use image::{ClipImage, ClipImageConfig, ClipImageFeatures};
pub use model::ClipModel;
pub use protocol::ClipProtocol;
pub use score::ClipScore;
pub use text::{ClipText, ClipTextConfig, ClipTextFeatures};
pub use tokenizer::ClipTokenizer;
pub use transformer::ClipTransformerConfig;
