//! Preconditionings by name, for configurations and checkpoints.

use super::{Boundary, Coefficients, Edm, Precondition, Vp};
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
    /// The shifted one of consistency models.
    Boundary(Boundary),
}

impl Default for Preconditioning {
    fn default() -> Self {
        Self::Edm(Edm::default())
    }
}

impl Precondition for Preconditioning {
    fn coefficients(&self, sigma: &Tensor) -> Coefficients {
        match self {
            Self::Edm(edm) => edm.coefficients(sigma),
            Self::Vp(vp) => vp.coefficients(sigma),
            Self::Boundary(boundary) => boundary.coefficients(sigma),
        }
    }

    fn sigma_range(&self) -> (f64, f64) {
        match self {
            Self::Edm(edm) => edm.sigma_range(),
            Self::Vp(vp) => vp.sigma_range(),
            Self::Boundary(boundary) => boundary.sigma_range(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_round_trips_through_json() {
        for preconditioning in [
            Preconditioning::Edm(Edm { sigma_data: 0.3 }),
            Preconditioning::Vp(Vp { m: 500, ..Vp::default() }),
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
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
