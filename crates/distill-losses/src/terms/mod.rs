//! The formulas: losses per image, without any choreography.
//!
//! Every loss returns `[B]`, one value per image, so that its reduction over the batch is visible where it is used.

mod consistency;
mod curriculum;
mod denoising;
mod distance;
mod easy_consistency;
mod progressive;
mod score_identity;

pub use consistency::{ConsistencyPair, adjacent_levels, consistency_loss};
pub use curriculum::{Curriculum, Scales, TargetEma};
pub use denoising::denoising_loss;
pub use distance::Distance;
pub use easy_consistency::{EasyMapping, easy_consistency_loss};
pub use progressive::progressive_target;
pub use score_identity::{
    ScoreIdentityCotangents, SequentialScoreIdentity, score_identity_cotangents,
    score_identity_loss, score_identity_weight, sequential_score_identity_loss,
};
