//! The one question asked of a diffusion model.

use crate::Cond;
use tch::Tensor;

/// Predicts the clean image behind a noisy one.
///
/// The only convention for a diffusion model in this workspace: whatever a network predicts inside (noise, velocity,
/// a preconditioned residual), outside it answers with `x0`. Guided models and exact closed-form models are denoisers
/// too, and a solver or a loss cannot tell them apart.
///
/// # Shapes
/// `x`: `[B, C, H, W]`; `sigma`: `[B]`, one level per image; returns `[B, C, H, W]`.
///
/// # Gradient
/// Flows from the result into `x` and into the model's parameters unless the caller disables it.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, section 2: `D(x; sigma)`.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Denoiser};
/// use tch::{Kind, Tensor};
///
/// /// The exact denoiser of data that is always zero.
/// struct Zero;
/// impl Denoiser for Zero {
///     fn denoise(&self, x: &Tensor, _sigma: &Tensor, _cond: &Cond) -> Tensor {
///         x.zeros_like()
///     }
/// }
/// let x = Tensor::ones([2, 3, 4, 4], (Kind::Float, tch::Device::Cpu));
/// let sigma = Tensor::from_slice(&[1f32, 2.0]);
/// assert_eq!(Zero.denoise(&x, &sigma, &Cond::none()).abs().max().double_value(&[]), 0.0);
/// ```
pub trait Denoiser {
    /// The expected clean image given `x = x0 + sigma * n` and the conditions.
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor;
}

impl<D: Denoiser + ?Sized> Denoiser for &D {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
        (**self).denoise(x, sigma, cond)
    }
}

impl<D: Denoiser + ?Sized> Denoiser for Box<D> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
        (**self).denoise(x, sigma, cond)
    }
}

impl<D: Denoiser + ?Sized> Denoiser for std::rc::Rc<D> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
        (**self).denoise(x, sigma, cond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_object_safe() {
        fn _takes(_: &dyn Denoiser) {}
    }
}
