//! The raw network inside a denoiser.

use crate::{Cond, Noise, Parameters};
use tch::Tensor;

/// A raw network `F(x, c_noise)`: a denoiser without its preconditioning.
///
/// A preconditioning (in `diffusion-schedule`) turns it into a [`Denoiser`](crate::Denoiser). The split lets one set
/// of weights serve under several preconditionings: a consistency student starts from a teacher's weights with the
/// boundary form around them.
pub trait Backbone {
    /// Runs the network.
    ///
    /// `x`: `[B, C, H, W]`, already scaled by `c_in`. `c_noise`: `[B]`, the noise argument. `dropout`: `None`
    /// evaluates; `Some(noise)` trains, with dropout masks drawn from `noise`, so that two passes started from equal
    /// `noise` share their masks. Returns `[B, C, H, W]`.
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor;

    /// The named tensors, in the official order.
    fn parameters(&self) -> &Parameters;

    /// A second network of the same architecture with a copy of the values; nothing is shared.
    fn twin(&self) -> Box<dyn Backbone>;

    /// Gets ready for many evaluations with the weights as they are, at the price of memory. Changes no result to more
    /// than rounding; changing the weights undoes it.
    fn prepare(&self) {}

    /// From now on, or no longer, keeps only the inputs of the network's segments for a backward pass, which computes
    /// what lies inside of them again: less memory for training, about a third more time, the same gradients to rounding. Twins
    /// made afterwards do the same.
    ///
    /// # Gradient
    /// Once; a backward pass with `create_graph` fails through segments. A network without segments ignores this.
    fn recompute(&self, on: bool) {
        let _ = on;
    }
}

impl<B: Backbone + ?Sized> Backbone for Box<B> {
    fn forward(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        (**self).forward(x, c_noise, cond, dropout)
    }

    fn parameters(&self) -> &Parameters {
        (**self).parameters()
    }

    fn twin(&self) -> Box<dyn Backbone> {
        (**self).twin()
    }

    fn prepare(&self) {
        (**self).prepare();
    }

    fn recompute(&self, on: bool) {
        (**self).recompute(on);
    }
}
