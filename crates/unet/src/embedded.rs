//! Networks whose blocks all see one vector.

use diffusion_core::{Backbone, Cond, Noise};
use tch::Tensor;

/// A network that makes one vector of noise level and conditions, which all of its blocks see.
///
/// Whatever else it is to know can be added to that vector: see [`WithTarget`](crate::WithTarget).
pub trait Embedded: Backbone {
    /// Channels of the vector.
    fn embedding_width(&self) -> i64;

    /// As [`Backbone::forward`], with `shift`, `[B, embedding_width]`, added to the vector before its last activation.
    fn forward_shifted(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        shift: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor;

    /// [`Backbone::twin`], which can be shifted as well.
    fn embedded_twin(&self) -> Box<dyn Embedded>;
}

impl<B: Embedded + ?Sized> Embedded for Box<B> {
    fn embedding_width(&self) -> i64 {
        (**self).embedding_width()
    }

    fn forward_shifted(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        shift: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        (**self).forward_shifted(x, c_noise, shift, cond, dropout)
    }

    fn embedded_twin(&self) -> Box<dyn Embedded> {
        (**self).embedded_twin()
    }
}
