//! Which values of a configuration make a network.

use super::config::{DOWN, MID, UP, Unet2dConditionConfig};
use super::layout;
use crate::check::{MAX_BLOCKS, in_range, probability};
use crate::diffusers::{Fields, PerBlock, check};
use crate::{Error, Result};

const TEXT_TIME: &str = "text_time";

/// Transformer blocks of a whole network; Stable Diffusion XL has 70.
const MAX_TRANSFORMER_BLOCKS: i64 = 1 << 12;

const FIELDS: Fields = Fields {
    fixed: &[
        ("_class_name", &["\"UNet2DConditionModel\""]),
        ("act_fn", &["\"silu\"", "\"swish\""]),
        ("attention_type", &["\"default\""]),
        ("class_embed_type", &["null"]),
        ("class_embeddings_concat", &["false"]),
        ("conv_in_kernel", &["3"]),
        ("conv_out_kernel", &["3"]),
        ("cross_attention_norm", &["null"]),
        ("dual_cross_attention", &["false"]),
        ("encoder_hid_dim", &["null"]),
        ("encoder_hid_dim_type", &["null"]),
        ("num_attention_heads", &["null"]),
        ("resnet_out_scale_factor", &["1.0", "1"]),
        ("resnet_skip_time_act", &["false"]),
        ("time_embedding_act_fn", &["null"]),
        ("time_embedding_type", &["\"positional\""]),
        ("timestep_post_act", &["null"]),
    ],
    harmless: &[
        "addition_embed_type_num_heads",
        "mid_block_only_cross_attention", // of a middle block that cannot be built
        "sample_size",
        "upcast_attention", // the softmax is computed in f32 whatever it says
    ],
};

impl Unet2dConditionConfig {
    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::UnknownField`], [`Error::MissingField`], [`Error::OutOfRange`],
    /// [`Error::BadProbability`], [`Error::WrongCount`], [`Error::OddEmbedding`] or [`Error::IndivisibleChannels`], for the
    /// first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        FIELDS.check(&self.others)?;
        check::levels(
            &self.block_out_channels,
            [(&self.down_block_types, &DOWN), (&self.up_block_types, &UP)],
        )?;
        self.check_choices()?;
        self.check_ranges()?;
        self.check_lists()?;
        check::frequencies(self.block_out_channels[0], self.freq_shift)?;
        self.time_cond_proj_dim.map_or(Ok(()), |channels| check::frequencies(channels, 1.0))?;
        self.pooled_width()?;
        let plan = layout::plan(self);
        let (field, depth) = ("sum of `transformer_layers_per_block`", plan.transformer_blocks());
        in_range(field, depth, 0, MAX_TRANSFORMER_BLOCKS)?;
        if !plan.sees_one_text() {
            let (field, value) =
                ("cross_attention_dim", format!("{:?}", self.cross_attention_dim.values()));
            return Err(Error::Unsupported {
                field,
                value,
                supported: "one width for all transformers",
            });
        }
        check::plan(&plan)
    }

    /// For a network that sees `pooled_text` and `size`: the width of the first and the channels of each number of the second.
    pub(super) fn pooled_width(&self) -> Result<Option<(i64, i64)>> {
        if self.addition_embed_type.is_none() {
            return Ok(None);
        }
        let needed = |field, value: Option<i64>| {
            value.ok_or(Error::MissingField { field, because: "addition_embed_type" })
        };
        let channels = needed("addition_time_embed_dim", self.addition_time_embed_dim)?;
        let field = "projection_class_embeddings_input_dim";
        let both = needed(field, self.projection_class_embeddings_input_dim)?;
        in_range("addition_time_embed_dim", channels, 2, 1 << 16)?;
        check::frequencies(channels, self.freq_shift)?;
        in_range(field, both, 6 * channels + 1, 1 << 20)?;
        Ok(Some((both - 6 * channels, channels)))
    }

    fn check_choices(&self) -> Result<()> {
        let known = |field, value: &Option<String>, known: &[&str], supported| match value {
            Some(value) if !known.contains(&value.as_str()) => {
                Err(Error::Unsupported { field, value: format!("{value:?}"), supported })
            }
            _ => Ok(()),
        };
        known("mid_block_type", &self.mid_block_type, &MID, MID[1])?;
        known("addition_embed_type", &self.addition_embed_type, &[TEXT_TIME], TEXT_TIME)
    }

    fn check_ranges(&self) -> Result<()> {
        in_range("in_channels", self.in_channels, 1, 1 << 16)?;
        in_range("out_channels", self.out_channels, 1, 1 << 16)?;
        in_range("downsample_padding", self.downsample_padding, 0, 1)?;
        in_range("norm_num_groups", self.norm_num_groups, 1, 1 << 16)?;
        let optional = |field, value: Option<i64>| in_range(field, value.unwrap_or(1), 1, 1 << 20);
        optional("time_embedding_dim", self.time_embedding_dim)?;
        in_range("time_cond_proj_dim", self.time_cond_proj_dim.unwrap_or(4), 4, 1 << 20)?;
        optional("num_class_embeds", self.num_class_embeds)?;
        probability("dropout", self.dropout)?;
        check::positive("norm_eps", self.norm_eps)?;
        check::positive("mid_block_scale_factor", self.mid_block_scale_factor)
    }

    fn check_lists(&self) -> Result<()> {
        let levels = self.block_out_channels.len();
        self.only_cross_attention.check_length("only_cross_attention", levels)?;
        let numbers: [(&str, &PerBlock<i64>, i64); 3] = [
            ("layers_per_block", &self.layers_per_block, MAX_BLOCKS),
            ("cross_attention_dim", &self.cross_attention_dim, 1 << 20),
            ("attention_head_dim", &self.attention_head_dim, 1 << 16),
        ];
        for (field, list, maximum) in numbers {
            list.check_length(field, levels)?;
            list.values().iter().try_for_each(|&value| in_range(field, value, 1, maximum))?;
        }
        self.check_depths("transformer_layers_per_block", &self.transformer_layers_per_block, 0)?;
        let field = "reverse_transformer_layers_per_block";
        match &self.reverse_transformer_layers_per_block {
            Some(depths) => self.check_depths(field, depths, 1),
            None if self.transformer_layers_per_block.values().iter().any(PerBlock::is_list) => {
                Err(Error::MissingField { field, because: "transformer_layers_per_block" })
            }
            None => Ok(()),
        }
    }

    /// `more`: residual blocks that a level has beyond `layers_per_block`; the decoder's levels come in reverse then.
    fn check_depths(
        &self,
        field: &'static str,
        depths: &PerBlock<PerBlock<i64>>,
        more: i64,
    ) -> Result<()> {
        let levels = self.block_out_channels.len();
        depths.check_length(field, levels)?;
        for block in 0..levels {
            let level = if more == 0 { block } else { levels - 1 - block };
            let blocks = self.layers_per_block.at(level) + more;
            depths.at(block).check_length(field, blocks as usize)?;
            depths.at(block).values().iter().try_for_each(|&n| in_range(field, n, 0, 1 << 10))?;
        }
        Ok(())
    }
}
