//! The sampler of consistency models.

use super::{Sampler, Step, levels};
use crate::{Error, Result};
use diffusion_core::{Cond, Denoiser, Noise};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Denoise fully, add noise again, denoise again: one evaluation a level.
///
/// ```text
/// x = f(x; sigma_i),   then, before the next level,   x += n sqrt(sigma_(i+1)² - sigma_min²)
/// ```
///
/// With a single level it is [`OneStep`](crate::OneStep). A step needs a model that jumps to the end, such as a
/// distilled student; a teacher gives its blurry mean.
///
/// # Source
/// Song et al. 2023, arXiv:2303.01469, Algorithm 1; official code `cm/karras_diffusion.py`,
/// `stochastic_iterative_sampler`, whose last index (the level `sigma_min`, which adds no noise) is not listed here.
///
/// # Example
/// ```
/// use diffusion_schedule::{Multistep, Sampler};
/// assert_eq!(Multistep::new(vec![80.0, 1.382]).nfe(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multistep {
    /// The levels of the evaluations, highest first.
    pub sigmas: Vec<f64>,
    /// The level that the model's answers still hold.
    #[serde(default = "sigma_min")]
    pub sigma_min: f64,
    /// Whether answers are clamped to `[-1, 1]`, as the official code does.
    #[serde(default = "clamp")]
    pub clamp: bool,
}

fn sigma_min() -> f64 {
    0.002
}

fn clamp() -> bool {
    true
}

impl Multistep {
    /// The official sampler at those levels: `sigma_min` 0.002, clamped.
    pub fn new(sigmas: Vec<f64>) -> Self {
        Self { sigmas, sigma_min: sigma_min(), clamp: clamp() }
    }

    /// [`Sampler::sample`] with the unit noise supplied by the caller, and the state returned in `f64`.
    ///
    /// `unit_noise` is asked once between two levels, for a tensor of the given shape on the device of `z`.
    ///
    /// # Panics
    /// If there is no level.
    pub fn sample_with(
        &self,
        f: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        unit_noise: &mut dyn FnMut(&[i64]) -> Tensor,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        assert!(!self.sigmas.is_empty(), "the multistep sampler needs at least 1 level");
        let mut x = z.to_kind(Kind::Double) * self.sigmas[0];
        for (index, &sigma) in self.sigmas.iter().enumerate() {
            if index > 0 {
                let added = sigma.max(self.sigma_min).powi(2) - self.sigma_min.powi(2);
                x += unit_noise(&x.size()) * added.sqrt();
            }
            x = f.denoise(&x, &levels(sigma, &x), cond).to_kind(Kind::Double);
            if self.clamp {
                x = x.clamp(-1.0, 1.0);
            }
            observer(&Step { index, sigma: 0.0, x: &x });
        }
        x
    }

    /// Checks that the levels are possible.
    ///
    /// # Errors
    /// - [`Error::NoLevels`] if there is none;
    /// - [`Error::NotPositive`] for a level that is not finite and above 0;
    /// - [`Error::NotDescending`] for a level that is not below the one before it;
    /// - [`Error::Negative`] for a negative `sigma_min`.
    pub fn validate(&self) -> Result<()> {
        Error::check_not_negative("sigma_min", self.sigma_min)?;
        if self.sigmas.is_empty() {
            return Err(Error::NoLevels);
        }
        self.sigmas.iter().try_for_each(|&sigma| Error::check_positive("sigmas", sigma))?;
        for (index, pair) in self.sigmas.windows(2).enumerate() {
            let (previous, sigma) = (pair[0], pair[1]);
            if sigma >= previous {
                return Err(Error::NotDescending { position: index + 1, previous, sigma });
            }
        }
        Ok(())
    }
}

impl Sampler for Multistep {
    fn sample(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        noise: &mut Noise,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        let device = z.device();
        let mut unit_noise = |shape: &[i64]| noise.normal_f64(shape).to_device(device);
        self.sample_with(d, z, cond, &mut unit_noise, observer).to_kind(Kind::Float)
    }

    fn nfe(&self) -> usize {
        self.sigmas.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    struct Identity;
    impl Denoiser for Identity {
        fn denoise(&self, x: &Tensor, _sigma: &Tensor, _cond: &Cond) -> Tensor {
            x.shallow_clone()
        }
    }

    fn run(sampler: &Multistep) -> f64 {
        let z = Tensor::ones([1, 1], (Kind::Double, Device::Cpu)) * 0.125;
        let mut unit_noise = |shape: &[i64]| Tensor::ones(shape, (Kind::Double, Device::Cpu));
        let x = sampler.sample_with(&Identity, &z, &Cond::none(), &mut unit_noise, &mut |_| ());
        x.double_value(&[0, 0])
    }

    #[test]
    fn noise_is_added_between_levels_only() {
        let free = Multistep { sigmas: vec![4.0, 0.5], sigma_min: 0.3, clamp: false };
        assert!((run(&free) - 0.9).abs() < 1e-12); // 4/8 + sqrt(0.25 - 0.09)
        let low = Multistep { sigmas: vec![4.0, 0.1], ..free };
        assert_eq!(run(&low), 0.5); // below sigma_min nothing is added
    }

    #[test]
    fn answers_are_clamped() {
        assert_eq!(run(&Multistep::new(vec![80.0])), 1.0);
    }
}
