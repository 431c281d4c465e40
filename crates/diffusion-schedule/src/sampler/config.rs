//! Samplers by name, for configurations and command lines.

use super::{EdmSampler, Multistep, OdeSampler, OneStep, Sampler};
use crate::{Euler, Heun, Result};
use serde::{Deserialize, Serialize};

/// A sampler as plain data; unknown fields are refused.
///
/// # Example
/// ```
/// use diffusion_schedule::{Sampler, SamplerConfig};
/// let config: SamplerConfig = toml::from_str("kind = 'heun'\nsteps = 5\ngrid.sigma_max = 50.0").unwrap();
/// assert_eq!(config.build()?.nfe(), 9);
/// # Ok::<(), diffusion_schedule::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SamplerConfig {
    /// One evaluation at one level.
    OneStep(OneStep),
    /// Consistency sampling at a list of levels.
    Multistep(Multistep),
    /// The EDM sampler, with or without churn.
    Edm(EdmSampler),
    /// The probability-flow equation by Euler's method.
    Euler(OdeSampler<Euler>),
    /// The probability-flow equation by Heun's method.
    Heun(OdeSampler<Heun>),
}

impl Default for SamplerConfig {
    /// The deterministic EDM sampler of 18 steps.
    fn default() -> Self {
        Self::Edm(EdmSampler::default())
    }
}

impl SamplerConfig {
    /// The sampler, once its settings have been checked.
    ///
    /// # Errors
    /// As the `validate` of the sampler: any [`Error`](crate::Error).
    pub fn build(&self) -> Result<Box<dyn Sampler>> {
        Ok(match self {
            Self::OneStep(sampler) => {
                sampler.validate()?;
                Box::new(*sampler)
            }
            Self::Multistep(sampler) => {
                sampler.validate()?;
                Box::new(sampler.clone())
            }
            Self::Edm(sampler) => {
                sampler.validate()?;
                Box::new(*sampler)
            }
            Self::Euler(sampler) => {
                sampler.validate()?;
                Box::new(*sampler)
            }
            Self::Heun(sampler) => {
                sampler.validate()?;
                Box::new(*sampler)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn read(text: &str) -> serde_json::Result<SamplerConfig> {
        serde_json::from_str(text)
    }

    fn refusal(text: &str) -> Error {
        read(text).unwrap().build().err().expect("the settings are impossible")
    }

    #[test]
    fn every_kind_builds_and_round_trips() {
        for (text, nfe) in [
            (r#"{"kind": "one-step", "sigma": 2.5}"#, 1),
            (r#"{"kind": "multistep", "sigmas": [80.0, 4.4, 1.0]}"#, 3),
            (r#"{"kind": "edm"}"#, 35),
            (r#"{"kind": "edm", "steps": 5, "s_churn": 40.0}"#, 9),
            (r#"{"kind": "euler", "steps": 7}"#, 7),
            (r#"{"kind": "heun", "steps": 7, "grid": {"rho": 5.0}}"#, 13),
        ] {
            let config = read(text).unwrap();
            assert_eq!(config.build().unwrap().nfe(), nfe, "{text}");
            assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn unknown_kinds_and_fields_are_refused() {
        for text in [
            r#"{"kind": "ddim"}"#,
            r#"{"kind": "one-step", "sigma": 2.5, "steps": 1}"#,
            r#"{"kind": "one-step"}"#,
            r#"{"kind": "edm", "churn": 1.0}"#,
            r#"{"kind": "euler", "grid": {"sigma": 1.0}}"#,
            r#"{"kind": "heun", "solver": "euler"}"#,
            r#"{"kind": "multistep", "sigmas": [1.0], "eta": 0.0}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        assert!(matches!(
            refusal(r#"{"kind": "euler", "steps": 0}"#),
            Error::Steps { steps: 0, .. }
        ));
        let endless = r#"{"kind": "edm", "steps": 18446744073709551615}"#;
        assert!(matches!(refusal(endless), Error::Steps { .. }));
        let zero = refusal(r#"{"kind": "one-step", "sigma": 0.0}"#);
        assert_eq!(zero.to_string(), "`sigma` is 0; use a finite number greater than 0");
        let rising = refusal(r#"{"kind": "multistep", "sigmas": [1.0, 2.0]}"#);
        let expected = Error::NotDescending { position: 1, previous: 1.0, sigma: 2.0 };
        assert_eq!(rising, expected);
        assert_eq!(refusal(r#"{"kind": "multistep", "sigmas": []}"#), Error::NoLevels);
        let churn = refusal(r#"{"kind": "edm", "s_churn": -1.0}"#);
        assert!(matches!(churn, Error::Negative { name: "s_churn", .. }));
        let range = refusal(r#"{"kind": "edm", "s_min": 2.0, "s_max": 1.0}"#);
        assert_eq!(range, Error::EmptyRange { low: 2.0, high: 1.0 });
    }
}
