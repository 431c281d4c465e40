//! What the settings of a scheduler's file mean.

use super::SchedulerClass;
use super::settings::Settings;
use crate::{
    BetaSchedule, DiscreteVp, Error, Prediction, Respacing, Result, TimestepGrid, TimestepSpacing,
};
use serde_json::Value;

/// Settings that change numbers, in a way that is not supported, unless they have this value.
const NEUTRAL: &[(&str, Value, &str)] = &[
    ("trained_betas", Value::Null, "null: a table of noise rates is not"),
    ("predict_epsilon", Value::Bool(true), "true: say `\"prediction_type\": \"sample\"` instead"),
    ("thresholding", Value::Bool(false), "false"),
    ("use_exponential_sigmas", Value::Bool(false), "false"),
    ("use_beta_sigmas", Value::Bool(false), "false"),
    ("use_lu_lambdas", Value::Bool(false), "false"),
    ("use_flow_sigmas", Value::Bool(false), "false"),
    ("sigma_min", Value::Null, "null"),
    ("sigma_max", Value::Null, "null"),
    ("shift_terminal", Value::Null, "null"),
];

/// The same for settings whose value is text.
const NEUTRAL_TEXT: &[(&str, &str, &str)] = &[
    ("lambda_min_clipped", "-Infinity", "-Infinity"),
    ("interpolation_type", "linear", "linear"),
    ("timestep_type", "discrete", "discrete"),
];

/// Settings that are honored, besides [`NEUTRAL`] and [`NEUTRAL_TEXT`].
const HONORED: &[&str] = &[
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "rescale_betas_zero_snr",
    "prediction_type",
    "timestep_spacing",
    "steps_offset",
    "original_inference_steps",
    "timestep_scaling",
    "use_karras_sigmas",
    "clip_sample",
    "clip_sample_range",
    "set_alpha_to_one",
    "final_sigmas_type",
];

/// Whether a scheduler that knows the setting is read according to it.
pub(super) fn reads(field: &str) -> bool {
    HONORED.contains(&field)
        || NEUTRAL.iter().any(|(name, ..)| *name == field)
        || NEUTRAL_TEXT.iter().any(|(name, ..)| *name == field)
}

/// Refuses settings that would change numbers.
pub(super) fn refuse_unsupported(settings: &Settings<'_>) -> Result<()> {
    for (field, neutral, expected) in NEUTRAL {
        settings.refuse_unless(field, neutral, expected)?;
    }
    for (field, neutral, expected) in NEUTRAL_TEXT {
        settings.refuse_unless(field, &Value::from(*neutral), expected)?;
    }
    check_boundary(settings)
}

/// Refuses boundary scalings that would not vanish.
fn check_boundary(settings: &Settings<'_>) -> Result<()> {
    let (field, expected) = ("timestep_scaling", "10 or more");
    let scaling: f64 = settings.read(field, 10.0, expected)?;
    if scaling >= 10.0 {
        return Ok(());
    }
    Err(Error::SchedulerSetting { field, value: scaling.to_string(), expected })
}

fn process(settings: &Settings<'_>) -> Result<DiscreteVp> {
    let (start, end) = settings.class.default_betas();
    let schedule = match settings.class {
        SchedulerClass::Lcm | SchedulerClass::Tcd => BetaSchedule::ScaledLinear,
        _ => BetaSchedule::Linear,
    };
    let known = "`linear`, `scaled_linear`, `squaredcos_cap_v2` or `sigmoid`";
    let process = DiscreteVp {
        steps: settings.read("num_train_timesteps", 1000, "a whole number of at least 2")?,
        beta_schedule: settings.read("beta_schedule", schedule, known)?,
        beta_start: settings.read("beta_start", start, "a number")?,
        beta_end: settings.read("beta_end", end, "a number")?,
        zero_terminal_snr: settings.read("rescale_betas_zero_snr", false, "true or false")?,
    };
    process.validate()?;
    Ok(process)
}

pub(super) fn grid(settings: &Settings<'_>) -> Result<TimestepGrid> {
    let class = settings.class;
    let process = process(settings)?;
    let whole = "a whole number of at least 0";
    let spacing = if class.is_consistency() {
        TimestepSpacing::Subset { of: distilled_steps(settings, process.steps)? }
    } else {
        class.spacing(named_spacing(settings)?)
    };
    let karras = settings.read("use_karras_sigmas", false, "true or false")?;
    Ok(TimestepGrid {
        process,
        spacing,
        steps_offset: settings.read("steps_offset", 0, whole)?,
        respacing: if karras { class.karras() } else { Respacing::None },
    })
}

/// The number of timesteps that a consistency model was distilled at.
fn distilled_steps(settings: &Settings<'_>, limit: usize) -> Result<usize> {
    let (field, expected) = ("original_inference_steps", "1 to `num_train_timesteps`");
    let steps = settings.read(field, 50, expected)?;
    if (1..=limit).contains(&steps) {
        return Ok(steps);
    }
    Err(Error::SchedulerSetting { field, value: steps.to_string(), expected })
}

fn named_spacing(settings: &Settings<'_>) -> Result<TimestepSpacing> {
    let (field, expected) = ("timestep_spacing", "`leading`, `trailing` or `linspace`");
    let name = settings.read(field, String::new(), expected)?;
    Ok(match name.as_str() {
        "" => settings.class.default_spacing(),
        "leading" => TimestepSpacing::Leading,
        "trailing" => TimestepSpacing::Trailing,
        "linspace" => TimestepSpacing::Linspace,
        _ => return Err(Error::SchedulerSetting { field, value: format!("{name:?}"), expected }),
    })
}

pub(super) fn prediction(settings: &Settings<'_>) -> Result<Prediction> {
    let expected = "`epsilon`, `v_prediction` or `sample`";
    settings.read("prediction_type", Prediction::Epsilon, expected)
}

pub(super) fn clip_sample(settings: &Settings<'_>) -> Result<Option<f64>> {
    let clips = settings.read("clip_sample", settings.class.clips_by_default(), "true or false")?;
    let range: f64 = settings.read("clip_sample_range", 1.0, "a number")?;
    Error::check_positive("clip_sample_range", range)?;
    Ok(clips.then_some(range))
}

pub(super) fn ends_at_zero(settings: &Settings<'_>) -> Result<bool> {
    let default = settings.class.ends_at_zero_by_default();
    let one = settings.read("set_alpha_to_one", default, "true or false")?;
    let (field, expected) = ("final_sigmas_type", "`zero` or `sigma_min`");
    let last = settings.read(field, "zero".to_owned(), expected)?;
    match last.as_str() {
        "zero" => Ok(one),
        "sigma_min" => Ok(false),
        _ => Err(Error::SchedulerSetting { field, value: format!("{last:?}"), expected }),
    }
}
