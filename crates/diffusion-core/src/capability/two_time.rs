//! Networks that know where a step is to arrive.

use crate::{Backbone, Cond, Noise};
use tch::Tensor;

/// A network of two times: the level it starts from and the level it is to arrive at.
///
/// Trajectory models (consistency trajectories, mean flows, shortcuts) jump between any two levels with it.
pub trait TwoTime: Backbone {
    /// As [`Backbone::forward`], for a step from one level to another. Where both are equal, so are the answers.
    ///
    /// # Shapes
    /// `x`: `[B, C, H, W]`; `c_noise`, `c_target`: `[B]`, in the network's own measure of noise; returns `[B, C, H, W]`.
    ///
    /// # Gradient
    /// Into `x` and the parameters; whether it reaches the levels is the network's affair.
    fn forward_between(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        c_target: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor;
}
