//! The plan of a configuration.

use super::config::{DOWN, MID, UP, Unet2dConditionConfig};
use crate::diffusers::{AttentionPlan, Ladder, Plan, Style, TransformerPlan};

/// Only for lists and block types that were checked.
pub(super) fn plan(config: &Unet2dConditionConfig) -> Plan {
    let widths = config.block_out_channels.iter().enumerate();
    let levels: Vec<(i64, i64)> =
        widths.map(|(level, &width)| (width, *config.layers_per_block.at(level))).collect();
    let (coarsest, ladder) = (levels.len() - 1, Ladder { prefix: "", levels: &levels });
    let down = |level: usize, idx| match config.down_block_types[level] == DOWN[1] {
        true => block(config, level, down_depth(config, level, idx)),
        false => AttentionPlan::None,
    };
    let up = |level: usize, idx| match config.up_block_types[coarsest - level] == UP[1] {
        true => block(config, level, up_depth(config, level, idx)),
        false => AttentionPlan::None,
    };
    Plan {
        images: [config.in_channels, config.out_channels],
        width: levels[0].0,
        down: ladder.down(config.downsample_padding, down),
        mid: ladder.mid(&mid(config, coarsest), config.mid_block_scale_factor),
        up: ladder.up(true, up),
        style: Style {
            groups: config.norm_num_groups,
            epsilon: config.norm_eps,
            dropout: config.dropout,
            time: Some((config.emb_channels(), config.resnet_time_scale_shift)),
        },
    }
}

/// Attention in an encoder's or decoder's block.
fn block(config: &Unet2dConditionConfig, level: usize, depth: i64) -> AttentionPlan {
    transformer(config, level, depth, *config.only_cross_attention.at(level))
}

/// The middle block's transformer is as deep as the coarsest level's first and always looks at the pixels first.
fn mid(config: &Unet2dConditionConfig, coarsest: usize) -> Vec<AttentionPlan> {
    match config.mid_block_type.as_deref() {
        None => Vec::new(),
        Some(name) if name == MID[0] => vec![AttentionPlan::None],
        Some(_) => {
            let depth = down_depth(config, coarsest, 0);
            vec![transformer(config, coarsest, depth, false), AttentionPlan::None]
        }
    }
}

fn transformer(
    config: &Unet2dConditionConfig,
    level: usize,
    depth: i64,
    only_cross: bool,
) -> AttentionPlan {
    AttentionPlan::Transformer(TransformerPlan {
        heads: *config.attention_head_dim.at(level),
        depth,
        text: *config.cross_attention_dim.at(level),
        linear: config.use_linear_projection,
        only_cross,
    })
}

fn down_depth(config: &Unet2dConditionConfig, level: usize, idx: usize) -> i64 {
    *config.transformer_layers_per_block.at(level).at(idx)
}

fn up_depth(config: &Unet2dConditionConfig, level: usize, idx: usize) -> i64 {
    let from_the_coarsest = config.block_out_channels.len() - 1 - level;
    match &config.reverse_transformer_layers_per_block {
        Some(depths) => *depths.at(from_the_coarsest).at(idx),
        None => *config.transformer_layers_per_block.at(level).at(idx),
    }
}
