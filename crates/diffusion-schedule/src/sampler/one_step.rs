//! One question, one answer.

use super::{Sampler, Step, levels};
use crate::{Error, Result};
use diffusion_core::{Cond, Denoiser, Noise};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// One-step generation: `D(sigma z; sigma)`.
///
/// The sampler of distilled one-step generators: SiD trains at `sigma = 2.5`, consistency models at 80.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneStep {
    /// The level of the only evaluation.
    pub sigma: f64,
}

impl OneStep {
    /// Checks that the level is possible.
    ///
    /// # Errors
    /// [`Error::NotPositive`] if `sigma` is not finite and above 0.
    pub fn validate(&self) -> Result<()> {
        Error::check_positive("sigma", self.sigma)
    }
}

impl Sampler for OneStep {
    fn sample(
        &self,
        d: &dyn Denoiser,
        z: &Tensor,
        cond: &Cond,
        _noise: &mut Noise,
        observer: &mut dyn FnMut(&Step<'_>),
    ) -> Tensor {
        let x = d.denoise(&(z * self.sigma), &levels(self.sigma, z), cond).to_kind(Kind::Float);
        observer(&Step { index: 0, sigma: 0.0, x: &x });
        x
    }

    fn nfe(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::shape::per_image;

    struct Sum;
    impl Denoiser for Sum {
        fn denoise(&self, x: &Tensor, sigma: &Tensor, _cond: &Cond) -> Tensor {
            x + per_image(sigma, x)
        }
    }

    #[test]
    fn the_latent_is_scaled_to_the_level() {
        let z = Tensor::from_slice(&[1f32, -2.0]).view([2, 1]);
        let sampler = OneStep { sigma: 2.5 };
        let x = sampler.sample(&Sum, &z, &Cond::none(), &mut Noise::new(0), &mut |_| ());
        assert_eq!(Vec::<f32>::try_from(x.view(-1)).unwrap(), [5.0, -2.5]);
    }
}
