//! Checks that the configurations share.

use super::plan::{AttentionPlan, PixelsPlan, Plan, StagePlan, TransformerPlan};
use crate::check::in_range;
use crate::{Error, Result};

/// The widths of the levels, and one block type of those known for each of them, in encoder and decoder.
pub(crate) fn levels(
    widths: &[i64],
    types: [(&[String], &'static [&'static str]); 2],
) -> Result<()> {
    in_range("number of values in `block_out_channels`", widths.len() as i64, 1, 16)?;
    widths.iter().try_for_each(|&width| in_range("block_out_channels", width, 1, 1 << 20))?;
    for (field, (names, known)) in ["down_block_types", "up_block_types"].into_iter().zip(types) {
        if names.len() != widths.len() {
            let (found, expected) = (names.len(), widths.len());
            return Err(Error::WrongCount { field, found, expected });
        }
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            let (value, supported) = (format!("{name:?}"), known[known.len() - 1]);
            return Err(Error::Unsupported { field, value, supported });
        }
    }
    Ok(())
}

/// Sines and cosines come in pairs, and the shift must leave something to divide by.
pub(crate) fn frequencies(channels: i64, shift: f64) -> Result<()> {
    if channels % 2 != 0 {
        return Err(Error::OddEmbedding { channels });
    }
    if shift < channels as f64 / 2.0 {
        return Ok(());
    }
    let supported = "less than half of the channels of the time argument's embedding";
    Err(Error::Unsupported { field: "freq_shift", value: shift.to_string(), supported })
}

/// What is divided by must be positive.
pub(crate) fn positive(field: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Unsupported { field, value: value.to_string(), supported: "a positive number" })
}

/// Every number of channels must split into its normalization groups and heads.
pub(crate) fn plan(plan: &Plan) -> Result<()> {
    stages(plan.down.iter().chain([&plan.mid]).chain(&plan.up), plan.style.groups)
}

/// The same for some stages.
pub(crate) fn stages<'s>(
    stages: impl IntoIterator<Item = &'s StagePlan>,
    groups: i64,
) -> Result<()> {
    for stage in stages {
        for (idx, layer) in stage.layers.iter().enumerate() {
            let resnet = format!("{}.resnets.{idx}", stage.name);
            for channels in layer.channels {
                divides("norm_num_groups", groups, &resnet, channels)?;
            }
            let name = format!("{}.attentions.{idx}", stage.name);
            attention(layer.attention, &name, layer.channels[1])?;
        }
    }
    Ok(())
}

fn attention(plan: AttentionPlan, name: &str, channels: i64) -> Result<()> {
    match plan {
        AttentionPlan::None => Ok(()),
        AttentionPlan::Pixels(PixelsPlan { head_width, groups }) => {
            divides("attention_head_dim", head_width, name, channels)?;
            divides("attn_norm_num_groups", groups.unwrap_or(1), name, channels)
        }
        AttentionPlan::Transformer(TransformerPlan { heads, .. }) => {
            divides("attention_head_dim", heads, name, channels)
        }
    }
}

fn divides(field: &'static str, parts: i64, layer: &str, channels: i64) -> Result<()> {
    if channels % parts == 0 {
        return Ok(());
    }
    Err(Error::IndivisibleChannels { field, parts, layer: layer.into(), channels })
}
