//! How the network is preconditioned, which no tensor tells.

use super::Args;
use anyhow::{Context, Result};
use fewstep::diffusion_schedule::{Preconditioning, SchedulerConfig};
use fewstep::weights::{Detected, Family, Object, TensorInfo};
use serde_json::{Value, json};

/// The attributes of an official class that change numbers, and what they are called in a model's configuration.
type Settings = &'static [(&'static str, &'static str)];

/// What official classes of preconditioning are called in a model's configuration, and their settings.
const CLASSES: &[(&str, &str, Settings)] = &[
    ("EDMPrecond", "edm", &[("sigma_data", "sigma_data")]),
    ("VPPrecond", "vp", &[("beta_d", "beta_d"), ("beta_min", "beta_min"), ("M", "m")]),
    ("VEPrecond", "ve", &[("sigma_min", "sigma_min"), ("sigma_max", "sigma_max")]),
    ("iDDPMPrecond", "iddpm", &[("M", "m"), ("C_1", "c_1"), ("C_2", "c_2")]),
    ("GDDPrecond", "boundary", &[("sigma_data", "sigma_data")]),
];

/// Families that no preconditioning is put around.
pub(crate) const NO_DENOISERS: &[&str] =
    &["autoencoder-kl", "get", "mlp-skip-net", "semantic-encoder"];

/// The preconditioning, and a note if the file does not name its class.
///
/// In this order: what was said, what a scheduler's configuration says, the class in the file, the published network with
/// these sizes, and EDM's for networks with EDM's names.
pub(crate) fn find(
    args: &Args,
    tensors: &[TensorInfo],
    family: &Family,
    object: Option<&Object>,
    detected: &Detected,
) -> Result<(Option<Value>, Option<String>)> {
    if let Some(said) = said(args)? {
        said.validate()?;
        return Ok((Some(json!(said)), None));
    }
    if let Some(known) = object.map(of_class).transpose()?.flatten() {
        return Ok((Some(known), None));
    }
    let is_denoiser = !NO_DENOISERS.contains(&family.name());
    let has_table = tensors.iter().any(|tensor| tensor.name == "u");
    let (found, reason) = match (&detected.preconditioning, family.name()) {
        (Some(published), _) => {
            (Some(published.clone()), "as the published networks of these sizes")
        }
        (None, "song-unet" | "dhariwal-unet") if has_table => {
            (Some(json!({ "kind": "iddpm" })), "because of its table `u`")
        }
        (None, "song-unet" | "dhariwal-unet") if object.is_none() => {
            (Some(json!({ "kind": "edm" })), "by default")
        }
        _ => (None, "which the file does not say; say it with --preconditioning or --scheduler"),
    };
    let shown = found.as_ref().map_or_else(|| "unknown".to_owned(), shown);
    Ok((found, is_denoiser.then(|| format!("preconditioning = {shown}, {reason}"))))
}

/// What an object's class and attributes say; attributes with the usual value are left out.
fn of_class(object: &Object) -> Result<Option<Value>> {
    let Some((class, kind, settings)) = CLASSES.iter().find(|(name, ..)| object.class == *name)
    else {
        return Ok(None);
    };
    let kind_alone = json!({ "kind": kind });
    let usual = json!(serde_json::from_value::<Preconditioning>(kind_alone.clone())?);
    let mut found = kind_alone;
    for (attribute, field) in *settings {
        let value = object.attributes.get(*attribute).filter(|value| value.is_number());
        if let Some(value) = value.filter(|value| value.as_f64() != usual[*field].as_f64()) {
            found[*field] = value.clone();
        }
    }
    let known: Preconditioning = serde_json::from_value(found.clone())
        .with_context(|| format!("the settings of {class} cannot be used: {found}"))?;
    known.validate()?;
    Ok(Some(found))
}

/// What the command line says.
fn said(args: &Args) -> Result<Option<Preconditioning>> {
    if let Some(path) = &args.scheduler {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let config = SchedulerConfig::from_json(&text);
        return Ok(Some(config.with_context(|| path.display().to_string())?.preconditioning()));
    }
    let Some(text) = &args.preconditioning else { return Ok(None) };
    let json = serde_json::from_str(text).unwrap_or_else(|_| json!({ "kind": text }));
    let known = serde_json::from_value(json);
    Ok(Some(known.with_context(|| format!("`--preconditioning {text}` is none"))?))
}

/// Its kind alone where it has no settings.
pub(crate) fn shown(preconditioning: &Value) -> String {
    let settings = preconditioning.as_object().map_or(0, |fields| fields.len());
    match preconditioning["kind"].as_str() {
        Some(kind) if settings == 1 => kind.to_owned(),
        _ => preconditioning.to_string(),
    }
}
