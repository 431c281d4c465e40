//! The sizes and choices that make a `UNet2DConditionModel`.

use crate::diffusers::{OtherFields, PerBlock, TimeScaleShift};
use serde::{Deserialize, Serialize};

/// Blocks of the encoder, without and with transformers.
pub(super) const DOWN: [&str; 2] = ["DownBlock2D", "CrossAttnDownBlock2D"];
/// Blocks of the decoder, without and with transformers.
pub(super) const UP: [&str; 2] = ["UpBlock2D", "CrossAttnUpBlock2D"];
/// Blocks between them, without and with a transformer.
pub(super) const MID: [&str; 2] = ["UNetMidBlock2D", "UNetMidBlock2DCrossAttn"];

/// Configuration of a [`Unet2dCondition`](crate::Unet2dCondition): the published `config.json` of a
/// `UNet2DConditionModel`.
///
/// Fields that are left out take the library's defaults. Fields that this struct does not name are kept in `others`; one
/// that could change numbers and has a value that cannot be built is an error, and so is an unknown one.
///
/// # Source
/// Rombach et al. 2022, arXiv:2112.10752; `UNet2DConditionModel` of the library diffusers.
///
/// # Example
/// ```
/// use unet::{PerBlock, Unet2dConditionConfig};
/// let json = r#"{"cross_attention_dim": 768, "attention_head_dim": 8, "upcast_attention": true}"#;
/// let config: Unet2dConditionConfig = serde_json::from_str(json)?;
/// assert_eq!(config.cross_attention_dim, PerBlock::All(768));
/// assert!(config.validate().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unet2dConditionConfig {
    /// Channels of the images, or latents, that go in.
    pub in_channels: i64,
    /// Channels of those that come out.
    pub out_channels: i64,
    /// Whether images are expected in `[0, 1]` and brought to `[-1, 1]` inside.
    pub center_input_sample: bool,
    /// Whether the cosines of the time argument come first.
    pub flip_sin_to_cos: bool,
    /// How much closer the lowest frequency of the time argument is to 1/10,000; reached exactly with 1.
    pub freq_shift: f64,
    /// `DownBlock2D` or `CrossAttnDownBlock2D` for each level, from fine to coarse.
    pub down_block_types: Vec<String>,
    /// `UNetMidBlock2DCrossAttn`, `UNetMidBlock2D` (a single residual block), or nothing in the middle.
    pub mid_block_type: Option<String>,
    /// `UpBlock2D` or `CrossAttnUpBlock2D` for each level, from coarse to fine.
    pub up_block_types: Vec<String>,
    /// Whether the first attention of transformer blocks, too, looks at the text.
    pub only_cross_attention: PerBlock<bool>,
    /// Channels of each level, from fine to coarse.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks of each level in the encoder; the decoder has one more.
    pub layers_per_block: PerBlock<i64>,
    /// The frame of zeros around an image before it is halved: 1 on all sides, or 0, which is one to the right and below.
    pub downsample_padding: i64,
    /// What the sums of the middle block's residual blocks are divided by.
    pub mid_block_scale_factor: f64,
    /// Probability of zeroing an activation of the residual blocks in training.
    pub dropout: f64,
    /// Normalization groups.
    pub norm_num_groups: i64,
    /// Added to the variance in normalizations outside of transformers.
    pub norm_eps: f64,
    /// Width of the text.
    pub cross_attention_dim: PerBlock<i64>,
    /// Transformer blocks after each residual block; a list in the list states them for each one of a level.
    pub transformer_layers_per_block: PerBlock<PerBlock<i64>>,
    /// The same for the decoder, from coarse to fine; unless stated, the encoder's in reverse.
    pub reverse_transformer_layers_per_block: Option<PerBlock<PerBlock<i64>>>,
    /// The NUMBER of heads, in spite of its name.
    pub attention_head_dim: PerBlock<i64>,
    /// Whether the layers into and out of transformers are fully connected ones instead of convolutions.
    pub use_linear_projection: bool,
    /// `text_time` for a network that also sees `pooled_text` and `size` (SDXL).
    pub addition_embed_type: Option<String>,
    /// Channels of the embedding of each number of `size`.
    pub addition_time_embed_dim: Option<i64>,
    /// Width of `pooled_text` and the embeddings of `size` together.
    pub projection_class_embeddings_input_dim: Option<i64>,
    /// Number of classes; `None` for a network without.
    pub num_class_embeds: Option<i64>,
    /// How residual blocks use the embedding.
    pub resnet_time_scale_shift: TimeScaleShift,
    /// Width of the embedding; four times the first of `block_out_channels` unless stated.
    pub time_embedding_dim: Option<i64>,
    /// Channels of the embedding of the guidance scale; `None` for a network that knows of none.
    pub time_cond_proj_dim: Option<i64>,
    /// Every other field of the published configuration.
    #[serde(flatten)]
    pub others: OtherFields,
}

impl Default for Unet2dConditionConfig {
    fn default() -> Self {
        let [down, cross_down] = DOWN.map(str::to_owned);
        let [up, cross_up] = UP.map(str::to_owned);
        Self {
            in_channels: 4,
            out_channels: 4,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types: vec![cross_down.clone(), cross_down.clone(), cross_down, down],
            mid_block_type: Some(MID[1].into()),
            up_block_types: vec![up, cross_up.clone(), cross_up.clone(), cross_up],
            only_cross_attention: PerBlock::All(false),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: PerBlock::All(2),
            downsample_padding: 1,
            mid_block_scale_factor: 1.0,
            dropout: 0.0,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            cross_attention_dim: PerBlock::All(1280),
            transformer_layers_per_block: PerBlock::All(PerBlock::All(1)),
            reverse_transformer_layers_per_block: None,
            attention_head_dim: PerBlock::All(8),
            use_linear_projection: false,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            num_class_embeds: None,
            resnet_time_scale_shift: TimeScaleShift::Default,
            time_embedding_dim: None,
            time_cond_proj_dim: None,
            others: OtherFields::new(),
        }
    }
}

impl Unet2dConditionConfig {
    /// Width of the embedding that every block sees.
    pub(super) fn emb_channels(&self) -> i64 {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }
}
