//! Preconditionings by name, for configurations and checkpoints.

use super::{Boundary, Coefficients, Discrete, Edm, IDdpm, Precondition, Ve, Vp};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// One of the preconditionings that a network can be saved and loaded with.
///
/// # Example
/// ```
/// use diffusion_schedule::{Boundary, Preconditioning};
/// let read: Preconditioning = toml::from_str("kind = 'boundary'\nsigma_data = 0.25").unwrap();
/// let expected = Boundary { sigma_data: 0.25, ..Boundary::default() };
/// assert_eq!(read, Preconditioning::Boundary(expected));
/// assert!(toml::from_str::<Preconditioning>("kind = 'edm'\nsigma = 1.0").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Preconditioning {
    /// EDM's: teachers, generators, fake scores.
    Edm(Edm),
    /// That of noise-predicting networks of the continuous VP process.
    Vp(Vp),
    /// That of variance-exploding score networks.
    Ve(Ve),
    /// That of improved DDPM networks, as EDM wraps them.
    #[serde(rename = "iddpm")]
    IDdpm(IDdpm),
    /// That of networks that take a timestep: DDPM, guided-diffusion, diffusers.
    Discrete(Discrete),
    /// The shifted one of consistency models.
    Boundary(Boundary),
}

impl Default for Preconditioning {
    fn default() -> Self {
        Self::Edm(Edm::default())
    }
}

impl Preconditioning {
    /// Checks that the coefficients can be computed.
    ///
    /// # Errors
    /// As [`Discrete::validate`] and [`IDdpm::validate`]; [`Error::NotPositive`] for the first other number that is not
    /// finite and above 0.
    pub fn validate(&self) -> Result<()> {
        let positive = Error::check_positive;
        match self {
            Self::Discrete(discrete) => discrete.validate(),
            Self::IDdpm(iddpm) => iddpm.validate(),
            Self::Edm(edm) => positive("sigma_data", edm.sigma_data),
            Self::Boundary(boundary) => {
                positive("sigma_data", boundary.sigma_data)?;
                positive("sigma_min", boundary.sigma_min)
            }
            Self::Vp(vp) => {
                positive("beta_d", vp.beta_d)?;
                positive("beta_min", vp.beta_min)?;
                positive("epsilon_t", vp.epsilon_t)?;
                positive("m", f64::from(vp.m))
            }
            Self::Ve(ve) => {
                positive("sigma_min", ve.sigma_min)?;
                positive("sigma_max", ve.sigma_max)
            }
        }
    }

    /// The preconditioning of that name.
    fn named(&self) -> &dyn Precondition {
        match self {
            Self::Edm(edm) => edm,
            Self::Vp(vp) => vp,
            Self::Ve(ve) => ve,
            Self::IDdpm(iddpm) => iddpm,
            Self::Discrete(discrete) => discrete,
            Self::Boundary(boundary) => boundary,
        }
    }
}

impl Precondition for Preconditioning {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        self.named().coefficients(sigma)
    }

    fn sigma_range(&self) -> (f64, f64) {
        self.named().sigma_range()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiscreteVp, Prediction, TimestepRule};

    #[test]
    fn every_kind_round_trips_through_json() {
        for preconditioning in [
            Preconditioning::Edm(Edm { sigma_data: 0.3 }),
            Preconditioning::Vp(Vp { m: 500, ..Vp::default() }),
            Preconditioning::Ve(Ve { sigma_max: 50.0, ..Ve::default() }),
            Preconditioning::IDdpm(IDdpm { m: 500, ..IDdpm::default() }),
            Preconditioning::Discrete(Discrete {
                process: DiscreteVp::cosine(4000),
                prediction: Prediction::VPrediction,
                timestep: TimestepRule::Interpolated,
            }),
            Preconditioning::Boundary(Boundary::default()),
        ] {
            let text = serde_json::to_string(&preconditioning).unwrap();
            assert_eq!(serde_json::from_str::<Preconditioning>(&text).unwrap(), preconditioning);
        }
    }

    #[test]
    fn unknown_kinds_and_fields_are_refused() {
        let read = serde_json::from_str::<Preconditioning>;
        assert_eq!(read(r#"{"kind": "edm"}"#).unwrap(), Preconditioning::default());
        for text in [
            r#"{"kind": "edn"}"#,
            r#"{"sigma_data": 0.5}"#,
            r#"{"kind": "edm", "sigma_min": 0.002}"#,
            r#"{"kind": "vp", "sigma_data": 0.5}"#,
            r#"{"kind": "boundary", "epsilon": 0.002}"#,
            r#"{"kind": "iddpm", "steps": 1000}"#,
            r#"{"kind": "discrete", "steps": 1000}"#,
            r#"{"kind": "discrete", "process": {"steps": 99999999999}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn impossible_processes_are_found() {
        let steps = |steps| {
            let process = DiscreteVp { steps, ..DiscreteVp::default() };
            Preconditioning::Discrete(Discrete { process, ..Discrete::default() }).validate()
        };
        assert!(steps(1000).is_ok() && steps(1).is_err());
        let levels = |m| Preconditioning::IDdpm(IDdpm { m, ..IDdpm::default() }).validate();
        assert!(levels(1000).is_ok() && levels(0).is_err() && levels(usize::MAX).is_err());
        assert!(Preconditioning::default().validate().is_ok());
    }

    #[test]
    fn numbers_that_cannot_be_computed_with_are_named() {
        for (text, field) in [
            ("kind = 'edm'\nsigma_data = nan", "sigma_data"),
            ("kind = 'boundary'\nsigma_data = 0.0", "sigma_data"),
            ("kind = 'boundary'\nsigma_min = -0.002", "sigma_min"),
            ("kind = 'vp'\nbeta_d = 0.0", "beta_d"),
            ("kind = 'vp'\nm = 0", "m"),
            ("kind = 've'\nsigma_max = inf", "sigma_max"),
        ] {
            let error = toml::from_str::<Preconditioning>(text).unwrap().validate().unwrap_err();
            assert!(matches!(error, Error::NotPositive { name, .. } if name == field), "{error}");
        }
        for kind in ["edm", "boundary", "vp", "ve", "iddpm", "discrete"] {
            let text = format!("kind = '{kind}'");
            toml::from_str::<Preconditioning>(&text).unwrap().validate().unwrap();
        }
    }
}
