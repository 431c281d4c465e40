//! A denoiser and a sampler: a generator.

use crate::Sampler;
use diffusion_core::{Cond, Denoiser, Generator, Noise};
use tch::Tensor;

/// A denoiser sampled in one fixed way.
///
/// # Gradient
/// None: [`Generator::generate`] runs without recording a graph.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Denoiser, Generator, Noise};
/// use diffusion_schedule::{OneStep, Sampling};
/// # use testkit::StubBackbone;
/// # use diffusion_schedule::{Preconditioned, Preconditioning};
/// # let student = Preconditioned::new(StubBackbone::new(tch::Device::Cpu), Preconditioning::default());
/// let generator = Sampling::new(student, OneStep { sigma: 2.5 });
/// let mut noise = Noise::new(0);
/// let z = noise.normal(&[4, 3, 8, 8]);
/// let images = generator.generate(&z, &Cond::none(), &mut noise);
/// assert_eq!((images.size(), generator.nfe()), (z.size(), 1));
/// assert!(!images.requires_grad());
/// ```
#[derive(Debug)]
pub struct Sampling<D, S> {
    denoiser: D,
    sampler: S,
}

impl<D: Denoiser, S: Sampler> Sampling<D, S> {
    /// Samples `denoiser` with `sampler`.
    pub fn new(denoiser: D, sampler: S) -> Self {
        Self { denoiser, sampler }
    }
}

impl<D: Denoiser, S: Sampler> Generator for Sampling<D, S> {
    fn generate(&self, z: &Tensor, cond: &Cond, noise: &mut Noise) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.sampler.sample(&self.denoiser, z, cond, noise, &mut |_| ())
    }

    fn nfe(&self) -> usize {
        self.sampler.nfe()
    }
}
