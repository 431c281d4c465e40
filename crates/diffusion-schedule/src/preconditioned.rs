//! A network and its preconditioning: a denoiser.

use crate::{Coefficients, Precondition, Preconditioning};
use diffusion_core::{Backbone, Cond, Denoiser, Noise, Parameters, shape};
use tch::{Kind, Tensor};

/// A raw network inside a preconditioning.
///
/// ```text
/// D(x; sigma) = c_skip x + c_out F(c_in x; c_noise, cond)
/// ```
///
/// # Shapes
/// `x`: `[B, C, H, W]`; `sigma`: `[B]`; returns `[B, C, H, W]`, `f32`. Inputs of any float kind are cast to `f32` for
/// the network; coefficients are computed in `f64` from `sigma` as it was given.
///
/// # Gradient
/// Flows into `x` and into the network's parameters.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Eq. (7).
///
/// # Example
/// ```
/// use diffusion_core::{Backbone, Cond, Denoiser};
/// use diffusion_schedule::{Boundary, Preconditioned, Preconditioning};
/// use tch::{Device, Kind, Tensor};
/// # use testkit::StubBackbone;
/// let network = StubBackbone::new(Device::Cpu); // any `Backbone`
/// let student = Preconditioned::new(network, Preconditioning::Boundary(Boundary::default()));
/// let x = Tensor::ones([1, 3, 8, 8], (Kind::Float, Device::Cpu));
/// let sigma_min = Tensor::from_slice(&[0.002f32]);
/// assert_eq!(student.denoise(&x, &sigma_min, &Cond::none()), x); // the boundary condition
/// ```
#[derive(Debug)]
pub struct Preconditioned<B> {
    backbone: B,
    preconditioning: Preconditioning,
}

/// A preconditioned network of any architecture: what trainers and methods pass around.
pub type Network = Preconditioned<Box<dyn Backbone>>;

impl<B> Preconditioned<B> {
    /// Puts `backbone` inside `preconditioning`.
    pub fn new(backbone: B, preconditioning: Preconditioning) -> Self {
        Self { backbone, preconditioning }
    }

    /// The raw network.
    pub fn backbone(&self) -> &B {
        &self.backbone
    }

    /// What it is wrapped in.
    pub fn preconditioning(&self) -> Preconditioning {
        self.preconditioning
    }
}

impl<B: Backbone> Preconditioned<B> {
    /// The raw network's named tensors.
    pub fn parameters(&self) -> &Parameters {
        self.backbone.parameters()
    }

    /// [`Denoiser::denoise`] with dropout: `Some(noise)` trains, with masks drawn from `noise`; `None` evaluates.
    ///
    /// # Panics
    /// If `sigma` is not `[B]`.
    pub fn denoise_with(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        shape::assert_per_image("sigma", sigma, x);
        let x = x.to_kind(Kind::Float);
        let Coefficients { c_skip, c_out, c_in, c_noise } =
            self.preconditioning.coefficients(sigma);
        let [c_skip, c_out, c_in] = [c_skip, c_out, c_in].map(|c| shape::per_image(&c, &x));
        let residual = self.backbone.forward(&(&x * c_in), &c_noise, cond, dropout);
        x * c_skip + residual.to_kind(Kind::Float) * c_out
    }
}

impl<B: Backbone> Denoiser for Preconditioned<B> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Cond) -> Tensor {
        self.denoise_with(x, sigma, cond, None)
    }
}

impl Network {
    /// A copy of network and preconditioning; nothing is shared.
    pub fn twin(&self) -> Network {
        self.twin_as(self.preconditioning)
    }

    /// A copy of the network inside another preconditioning; nothing is shared.
    pub fn twin_as(&self, preconditioning: Preconditioning) -> Network {
        Preconditioned::new(self.backbone.twin(), preconditioning)
    }
}
