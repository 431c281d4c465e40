//! The preconditioning of networks of a discrete variance-preserving process.

use super::{Coefficients, Precondition, table_for};
use crate::{DiscreteVp, Prediction, Result};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Which timestep a network of a discrete process is given for a noise level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepRule {
    /// The whole timestep with the nearest level: networks have seen no others in training.
    #[default]
    Nearest,
    /// The time between two whole timesteps at which the process has the level.
    Interpolated,
}

/// Preconditioning of networks that take a timestep: those of DDPM, guided-diffusion and diffusers.
///
/// ```text
/// c_skip, c_out: those of the prediction   c_in = 1 / sqrt(sigma² + 1)   c_noise = t(sigma), 0 to steps - 1
/// ```
///
/// A level outside of the process's range is given as the end of the range; the other coefficients stay exact. guided-diffusion's
/// networks with learned variance answer with twice the channels, of which [`Preconditioned`](crate::Preconditioned) takes
/// the first half.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, appendix C.3, for noise-predicting networks; k-diffusion's `external.py` for the
/// times between two timesteps.
///
/// # Example
/// ```
/// use diffusion_schedule::{Discrete, DiscreteVp, Precondition, Prediction};
/// let sd = Discrete { process: DiscreteVp::latent_diffusion(), ..Discrete::default() };
/// let c = sd.coefficients(&tch::Tensor::from_slice(&[1.612_886_2f32]));
/// assert_eq!(c.c_noise.double_value(&[0]), 499.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Discrete {
    /// The process that the network was trained with.
    pub process: DiscreteVp,
    /// What the network predicts.
    pub prediction: Prediction,
    /// Which timestep the network is given.
    pub timestep: TimestepRule,
}

impl Discrete {
    /// Checks that the levels can be computed.
    ///
    /// # Errors
    /// As [`DiscreteVp::validate`].
    pub fn validate(&self) -> Result<()> {
        self.process.validate()
    }

    /// [`DiscreteVp::timestep`] of each level.
    fn times(&self, sigma: &Tensor) -> Tensor {
        let logs: Vec<f64> = self.process.sigmas().into_iter().map(f64::ln).collect();
        let logs = table_for(sigma, &logs);
        let log = sigma.log();
        let low = (log.bucketize(&logs, false, true) - 1).clamp(0, self.process.steps as i64 - 2);
        let [at_low, at_high] = [&low, &(&low + 1)].map(|index| logs.take(index));
        let share = ((log - &at_low) / (at_high - &at_low)).clamp(0.0, 1.0);
        low + share
    }
}

impl Precondition for Discrete {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        let sigma = sigma.to_kind(Kind::Double);
        let (c_skip, c_out) = self.prediction.scalings(&sigma);
        let times = self.times(&sigma);
        let c_noise = match self.timestep {
            TimestepRule::Nearest => times.round(),
            TimestepRule::Interpolated => times,
        };
        Coefficients { c_skip, c_out, c_in: (sigma.square() + 1.0).rsqrt(), c_noise }.to_float()
    }

    fn sigma_range(&self) -> (f64, f64) {
        (self.process.sigma(0.0), self.process.sigma(f64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(prediction: Prediction, timestep: TimestepRule) -> Discrete {
        Discrete { process: DiscreteVp::latent_diffusion(), prediction, timestep }
    }

    fn values(t: &Tensor) -> Vec<f64> {
        Vec::try_from(t.to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn every_prediction_has_the_input_of_unit_variance() {
        for (prediction, [c_skip, c_out]) in [
            (Prediction::Epsilon, [1.0, -0.75]),
            (Prediction::VPrediction, [0.64, -0.6]),
            (Prediction::Sample, [0.0, 1.0]),
        ] {
            let discrete = with(prediction, TimestepRule::Nearest);
            let c = discrete.coefficients(&Tensor::from_slice(&[0.75f32])); // 0.75² + 1 = 1.25²
            for (found, expected) in [(c.c_skip, c_skip), (c.c_out, c_out), (c.c_in, 0.8)] {
                assert!((values(&found)[0] - expected).abs() < 1e-7, "{prediction:?}");
            }
        }
    }

    #[test]
    fn tensors_and_numbers_agree_on_the_times() {
        let discrete = with(Prediction::Epsilon, TimestepRule::Interpolated);
        let process = discrete.process;
        let levels = [0.0, 0.01, process.sigma(0.0), 0.05, 1.0, process.sigma(998.9), 14.0, 1e4];
        let times = values(&discrete.coefficients(&Tensor::from_slice(&levels)).c_noise);
        let nearest = with(Prediction::Epsilon, TimestepRule::Nearest);
        let rounded = values(&nearest.coefficients(&Tensor::from_slice(&levels)).c_noise);
        for (i, &sigma) in levels.iter().enumerate() {
            assert!((times[i] - process.timestep(sigma)).abs() < 1e-4, "{sigma}: {}", times[i]);
            assert_eq!(rounded[i], process.nearest_timestep(sigma) as f64);
        }
        assert_eq!([times[0], times[1], times[7]], [0.0, 0.0, 999.0]);
    }

    #[test]
    fn every_level_of_the_table_has_its_own_number_in_single_precision() {
        let cosine = Discrete { process: DiscreteVp::cosine(4000), ..Discrete::default() };
        let sigma = Tensor::from_slice(&cosine.process.sigmas()).to_kind(Kind::Float);
        let expected: Vec<f64> = (0..4000).map(f64::from).collect();
        assert_eq!(values(&cosine.coefficients(&sigma).c_noise), expected);
    }

    #[test]
    fn the_time_between_two_steps_has_a_gradient() {
        let discrete = with(Prediction::Epsilon, TimestepRule::Interpolated);
        let sigma = Tensor::from_slice(&[1.0]).set_requires_grad(true);
        discrete.coefficients(&sigma).c_noise.sum(Kind::Double).backward();
        let time = |sigma| discrete.process.timestep(sigma);
        let slope = (time(1.0 + 1e-5) - time(1.0 - 1e-5)) / 2e-5;
        assert!((sigma.grad().double_value(&[0]) / slope - 1.0).abs() < 1e-4);
    }

    #[test]
    fn the_range_is_that_of_the_process() {
        let (low, high) = with(Prediction::Sample, TimestepRule::Nearest).sigma_range();
        assert!((low - 0.029_167).abs() < 1e-6 && (high - 14.614_641).abs() < 1e-6);
        let impossible = DiscreteVp { steps: 1, ..DiscreteVp::default() };
        assert!(Discrete { process: impossible, ..Discrete::default() }.validate().is_err());
    }
}
