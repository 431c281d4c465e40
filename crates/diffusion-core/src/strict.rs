//! Strict reading of settings.

use serde::{Deserialize, Deserializer};

/// Refuses every key beside the `kind` of a variant without fields, as `deserialize_with` of that variant.
///
/// serde's `deny_unknown_fields` does so for variants with fields only.
///
/// # Errors
/// If there is another key.
///
/// # Example
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
/// enum Shape {
///     #[serde(deserialize_with = "diffusion_core::strict::no_further_keys")]
///     Round,
/// }
/// assert!(toml::from_str::<Shape>("kind = 'round'").is_ok());
/// assert!(toml::from_str::<Shape>("kind = 'round'\ncorners = 4").is_err());
/// ```
pub fn no_further_keys<'de, D: Deserializer<'de>>(rest: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(rest).map(|Nothing {}| ())
}
