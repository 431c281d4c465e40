//! Any solver on a Karras grid.

use super::{Sampler, Step, advance, check_steps, pairs};
use crate::{Grid, KarrasGrid, Result, Solver};
use diffusion_core::{Cond, Denoiser, Noise};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// The probability-flow equation from the highest level of a grid to 0, with the solver of choice.
///
/// The last step, to 0, is the denoiser's answer whatever the solver, so that it costs one evaluation.
/// With [`Heun`](crate::Heun) this is [`EdmSampler`](crate::EdmSampler) without churn.
///
/// # Example
/// ```
/// use diffusion_schedule::{Euler, OdeSampler, Sampler};
/// assert_eq!(OdeSampler::<Euler> { steps: 10, ..Default::default() }.nfe(), 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OdeSampler<S: Solver + Default> {
    /// Number of steps.
    pub steps: usize,
    /// The grid of levels.
    pub grid: KarrasGrid,
    /// How a step is taken.
    #[serde(skip)]
    pub solver: S,
}

impl<S: Solver + Default> Default for OdeSampler<S> {
    fn default() -> Self {
        Self { steps: 18, grid: KarrasGrid::default(), solver: S::default() }
    }
}

impl<S: Solver + Default> OdeSampler<S> {
    /// [`Sampler::sample`] with the state returned in `f64`.
    ///
    /// # Panics
    /// If `steps` is 0.
    pub fn solve(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        assert!(self.steps > 0, "a sampler needs at least 1 step");
        let sigmas = self.grid.sigmas(self.steps);
        let mut x = z.to_kind(Kind::Double) * sigmas[0];
        for (index, [from, to]) in pairs(&sigmas).enumerate() {
            x = advance(&self.solver, d, &x, [from, to], cond);
            observer(&Step { index, sigma: to, x: &x });
        }
        x
    }

    /// Checks that the settings are possible.
    ///
    /// # Errors
    /// [`Error::Steps`](crate::Error::Steps) if there is no step or too many, or as [`KarrasGrid::validate`].
    pub fn validate(&self) -> Result<()> {
        check_steps(self.steps)?;
        self.grid.validate()
    }
}

impl<S: Solver + Default> Sampler for OdeSampler<S> {
    fn sample(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        _noise: &mut Noise,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        self.solve(d, z, cond, observer).to_kind(Kind::Float)
    }

    fn nfe(&self) -> usize {
        self.solver.nfe() * (self.steps - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EdmSampler, Heun};
    use tch::Device;

    struct Third;
    impl Denoiser for Third {
        fn denoise(&self, x: &Tensor, _sigma: &Tensor, _cond: &Cond) -> Tensor {
            x / 3.0
        }
    }

    #[test]
    fn heun_is_the_edm_sampler_without_churn() {
        let z = Tensor::ones([2, 1, 2, 2], (Kind::Float, Device::Cpu));
        let (ode, edm) = (OdeSampler::<Heun>::default(), EdmSampler::default());
        assert_eq!(ode.nfe(), edm.nfe());
        let mut noise = Noise::new(0);
        let sample = |sampler: &dyn Sampler, noise: &mut Noise| {
            sampler.sample(&Third, &z, &Cond::none(), noise, &mut |_| ())
        };
        assert_eq!(sample(&ode, &mut noise), sample(&edm, &mut noise));
        assert_eq!(noise.state().draw, 0);
    }
}
