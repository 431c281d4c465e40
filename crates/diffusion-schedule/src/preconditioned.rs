//! A network and its preconditioning: a denoiser.

use crate::{Coefficients, Precondition, Preconditioning};
use diffusion_core::{
    AttentionTap, AttentionTaps, Backbone, Cond, Denoiser, FeatureTap, FeatureTaps, Noise,
    Parameters, shape,
};
use tch::{Kind, Tensor};

/// A raw network inside a preconditioning.
///
/// ```text
/// D(x; sigma) = c_skip x + c_out F(c_in x; c_noise, cond)
/// ```
///
/// A network that answers with more channels than `x` has, such as one with learned variance, predicts with the first `C`.
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

    /// Gets the network ready for many evaluations: see [`Backbone::prepare`].
    pub fn prepare(&self) {
        self.backbone.prepare();
    }

    /// Trains with less memory and more time: see [`Backbone::recompute`].
    pub fn recompute(&self, on: bool) {
        self.backbone.recompute(on);
    }

    /// [`Denoiser::denoise`] with dropout: `Some(noise)` trains, with masks drawn from `noise`; `None` evaluates.
    ///
    /// # Panics
    /// If `sigma` is not `[B]`, or the network answers with fewer channels than `x` has.
    pub fn denoise_with(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
    ) -> Tensor {
        let forward =
            |x: &Tensor, c_noise: &Tensor| self.backbone.forward(x, c_noise, cond, dropout);
        self.around(x, sigma, |x, c_noise| Some(forward(x, c_noise))).expect("it answers")
    }
}

impl<B: FeatureTaps> Preconditioned<B> {
    /// As [`Preconditioned::denoise_with`], showing features to `tap`; `None` once `tap` broke off: see
    /// [`FeatureTaps::forward_tapped`].
    ///
    /// # Panics
    /// As [`Preconditioned::denoise_with`].
    pub fn denoise_tapped(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut FeatureTap<'_>,
    ) -> Option<Tensor> {
        self.around(x, sigma, |x, c_noise| {
            self.backbone.forward_tapped(x, c_noise, cond, dropout, tap)
        })
    }
}

impl<B: AttentionTaps> Preconditioned<B> {
    /// As [`Preconditioned::denoise_with`], showing the attention maps that `tap` wants to it: see
    /// [`AttentionTaps::forward_attending`].
    ///
    /// # Panics
    /// As [`Preconditioned::denoise_with`], and if a replacement has another shape than the map.
    pub fn denoise_attending(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut dyn AttentionTap,
    ) -> Tensor {
        let forward = |x: &Tensor, c_noise: &Tensor| {
            self.backbone.forward_attending(x, c_noise, cond, dropout, tap)
        };
        self.around(x, sigma, |x, c_noise| Some(forward(x, c_noise))).expect("it answers")
    }
}

impl<B> Preconditioned<B> {
    /// The preconditioning around an evaluation of the network, which may break off.
    fn around(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        network: impl FnOnce(&Tensor, &Tensor) -> Option<Tensor>,
    ) -> Option<Tensor> {
        shape::assert_per_image("sigma", sigma, x);
        let x = x.to_kind(Kind::Float);
        let Coefficients { c_skip, c_out, c_in, c_noise } =
            self.preconditioning.coefficients(sigma);
        let [c_skip, c_out, c_in] = [c_skip, c_out, c_in].map(|c| shape::per_image(&c, &x));
        let residual = network(&(&x * c_in), &c_noise)?;
        let residual = first_channels(&residual, &x).to_kind(Kind::Float);
        Some(x * c_skip + residual * c_out)
    }
}

/// As many channels of the network's `output` as the images `x` have; what follows them is learned variance.
fn first_channels(output: &Tensor, x: &Tensor) -> Tensor {
    let (found, needed) = (output.size()[1], x.size()[1]);
    assert!(
        found >= needed,
        "the network answers with {found} channels, but images have {needed}; is it made for other images?"
    );
    output.narrow(1, 0, needed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Boundary, Edm};
    use tch::Device;
    use testkit::{MlpBackbone, MlpConfig, StubBackbone, formula};

    fn stub(preconditioning: Preconditioning) -> Network {
        Preconditioned::new(Box::new(StubBackbone::new(Device::Cpu)), preconditioning)
    }

    fn images() -> (Tensor, Tensor) {
        (formula::noise("x", &[2, 3, 8, 8]), Tensor::from_slice(&[0.5f32, 0.002]))
    }

    #[test]
    fn the_edm_form_is_that_of_the_paper() {
        let (x, sigma) = images();
        let network = stub(Preconditioning::default());
        let denoised = network.denoise(&x, &sigma, &Cond::none());
        // at sigma = sigma_data = 1/2: c_skip 1/2, c_out √2/4, c_in √2, c_noise ln(1/2)/4
        let root = 2f64.sqrt();
        let time = Tensor::from_slice(&[0.5f32.ln() / 4.0]);
        let first = x.narrow(0, 0, 1);
        let raw = network.backbone().forward(&(&first * root), &time, &Cond::none(), None);
        let expected = first * 0.5 + raw * (root / 4.0);
        assert!(expected.allclose(&denoised.narrow(0, 0, 1), 1e-5, 1e-6, false));
    }

    #[test]
    fn double_inputs_are_answered_in_single_precision() {
        let (x, sigma) = images();
        let network = stub(Preconditioning::Boundary(Boundary::default()));
        let [x64, sigma64] = [&x, &sigma].map(|t| t.to_kind(Kind::Double));
        let denoised = network.denoise(&x64, &sigma64, &Cond::none());
        assert_eq!(denoised.kind(), Kind::Float);
        assert!(denoised.allclose(&network.denoise(&x, &sigma, &Cond::none()), 1e-5, 1e-6, false));
    }

    #[test]
    fn a_twin_in_another_form_copies_the_weights() {
        let (x, sigma) = images();
        let teacher = stub(Preconditioning::Edm(Edm::default()));
        formula::fill(teacher.parameters(), "teacher.");
        let student = teacher.twin_as(Preconditioning::Boundary(Boundary::default()));
        assert_eq!(student.denoise(&x, &sigma, &Cond::none()).get(1), x.get(1));
        let copy = student.twin_as(teacher.preconditioning());
        let answer = teacher.denoise(&x, &sigma, &Cond::none());
        assert_eq!(copy.denoise(&x, &sigma, &Cond::none()), answer);
        formula::fill(copy.parameters(), "fake.");
        assert_eq!(teacher.twin().denoise(&x, &sigma, &Cond::none()), answer);
    }

    #[test]
    fn dropout_reaches_the_network() {
        let config = MlpConfig { dropout: 0.5, ..MlpConfig::default() };
        let network = MlpBackbone::new(config, &mut Noise::new(1));
        let denoiser = Preconditioned::new(network, Preconditioning::default());
        let x = Noise::new(2).normal(&[2, 2, 1, 1]);
        let sigma = Tensor::from_slice(&[0.5f32, 1.0]);
        let train =
            |seed| denoiser.denoise_with(&x, &sigma, &Cond::none(), Some(&mut Noise::new(seed)));
        assert_eq!(train(3), train(3));
        assert_ne!(train(3), train(4));
        assert_ne!(train(3), denoiser.denoise(&x, &sigma, &Cond::none()));
    }

    #[test]
    fn channels_beyond_those_of_the_images_are_ignored() {
        let (x, sigma) = images();
        let network = StubBackbone::new(Device::Cpu);
        let padded =
            Preconditioned::new(Channels { count: 6, network }, Preconditioning::default());
        let network = stub(Preconditioning::default());
        let denoise = |network: &dyn Denoiser| network.denoise(&x, &sigma, &Cond::none());
        assert_eq!(denoise(&padded), denoise(&network));
    }

    #[test]
    #[should_panic(expected = "answers with 2 channels, but images have 3")]
    fn fewer_channels_than_those_of_the_images_are_refused() {
        let (x, sigma) = images();
        let network = Channels { count: 2, network: StubBackbone::new(Device::Cpu) };
        let network = Preconditioned::new(network, Preconditioning::default());
        let _ = network.denoise(&x, &sigma, &Cond::none());
    }

    /// A network whose answer is followed by other channels, and cut to `count`.
    struct Channels {
        count: i64,
        network: StubBackbone,
    }

    impl Backbone for Channels {
        fn forward(
            &self,
            x: &Tensor,
            c_noise: &Tensor,
            cond: &Cond,
            dropout: Option<&mut Noise>,
        ) -> Tensor {
            let output = self.network.forward(x, c_noise, cond, dropout);
            Tensor::cat(&[&output, &(&output + 1.0)], 1).narrow(1, 0, self.count)
        }

        fn parameters(&self) -> &Parameters {
            self.network.parameters()
        }

        fn twin(&self) -> Box<dyn Backbone> {
            self.network.twin()
        }
    }

    #[test]
    #[should_panic(expected = "`sigma` has shape [1]")]
    fn one_level_for_the_whole_batch_is_refused() {
        let (x, sigma) = images();
        let level = sigma.narrow(0, 0, 1);
        let _ = stub(Preconditioning::default()).denoise(&x, &level, &Cond::none());
    }
}
