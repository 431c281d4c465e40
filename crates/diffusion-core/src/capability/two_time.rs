//! Networks that know where a step is to arrive.

use crate::{Backbone, Cond, Noise};
use tch::Tensor;

/// A network of two times: the level it starts from and the level it is to arrive at.
///
/// Trajectory models (consistency trajectories, mean flows, shortcuts) jump between any two levels with it.
pub trait TwoTime: Backbone {
    /// As [`Backbone::forward`], for a step from `c_noise` to `c_target`, both `[B]` in the network's own measure of
    /// noise.
    ///
    /// Where both are equal the answer is that of [`Backbone::forward`].
    fn forward_between(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        c_target: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor;
}
