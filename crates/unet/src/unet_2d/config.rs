//! The sizes and choices that make a `UNet2DModel`.

use crate::Result;
use crate::check::{MAX_BLOCKS, in_range, probability};
use crate::diffusers::{
    AttentionPlan, Fields, Ladder, OtherFields, PixelsPlan, Plan, Style, TimeScaleShift, check,
};
use serde::{Deserialize, Serialize};

/// Blocks of the encoder, without and with attention.
const DOWN: [&str; 2] = ["DownBlock2D", "AttnDownBlock2D"];
/// Blocks of the decoder, without and with attention.
const UP: [&str; 2] = ["UpBlock2D", "AttnUpBlock2D"];

const FIELDS: Fields = Fields {
    fixed: &[
        ("_class_name", &["\"UNet2DModel\""]),
        ("act_fn", &["\"silu\"", "\"swish\""]),
        ("class_embed_type", &["null"]),
        ("downsample_type", &["\"conv\""]),
        ("mid_block_type", &["\"UNetMidBlock2D\""]),
        ("time_embedding_type", &["\"positional\""]),
        ("upsample_type", &["\"conv\""]),
    ],
    harmless: &["num_train_timesteps", "sample_size"],
};

/// Configuration of a [`Unet2d`](crate::Unet2d): the published `config.json` of a `UNet2DModel`.
///
/// Fields that are left out take the library's defaults. Fields that this struct does not name are kept in `others`; one
/// that could change numbers and has a value that cannot be built is an error, and so is an unknown one.
///
/// # Source
/// Ho et al. 2020, arXiv:2006.11239; `UNet2DModel` of the library diffusers.
///
/// # Example
/// ```
/// use unet::Unet2dConfig;
/// let json = r#"{"_class_name": "UNet2DModel", "act_fn": "gelu"}"#;
/// let config: Unet2dConfig = serde_json::from_str(json)?;
/// let error = config.validate().unwrap_err().to_string();
/// assert_eq!(error, r#"`act_fn` "gelu" cannot be built; only "silu" can"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unet2dConfig {
    /// Channels of the images that go in.
    pub in_channels: i64,
    /// Channels of the images that come out.
    pub out_channels: i64,
    /// Whether images are expected in `[0, 1]` and brought to `[-1, 1]` inside.
    pub center_input_sample: bool,
    /// Width of the embedding; four times the first of `block_out_channels` unless stated.
    pub time_embedding_dim: Option<i64>,
    /// How much closer the lowest frequency of the time argument is to 1/10,000; reached exactly with 1.
    pub freq_shift: f64,
    /// Whether the cosines of the time argument come first.
    pub flip_sin_to_cos: bool,
    /// `DownBlock2D` or `AttnDownBlock2D` for each level, from fine to coarse.
    pub down_block_types: Vec<String>,
    /// `UpBlock2D` or `AttnUpBlock2D` for each level, from coarse to fine.
    pub up_block_types: Vec<String>,
    /// Channels of each level, from fine to coarse.
    pub block_out_channels: Vec<i64>,
    /// Residual blocks of each level in the encoder; the decoder has one more.
    pub layers_per_block: i64,
    /// What the sums of the middle block are divided by.
    pub mid_block_scale_factor: f64,
    /// The frame of zeros around an image before it is halved: 1 on all sides, or 0, which is one to the right and below.
    pub downsample_padding: i64,
    /// Probability of zeroing an activation in training.
    pub dropout: f64,
    /// Channels of each head; `None` for a single head.
    pub attention_head_dim: Option<i64>,
    /// Normalization groups.
    pub norm_num_groups: i64,
    /// Normalization groups of the middle block's attention; unless stated, `norm_num_groups`, or no normalization with
    /// [`TimeScaleShift::ScaleShift`].
    pub attn_norm_num_groups: Option<i64>,
    /// Added to the variance in normalizations.
    pub norm_eps: f64,
    /// How residual blocks use the embedding.
    pub resnet_time_scale_shift: TimeScaleShift,
    /// Whether the middle block attends.
    pub add_attention: bool,
    /// Number of classes; `None` for a network without.
    pub num_class_embeds: Option<i64>,
    /// Every other field of the published configuration.
    #[serde(flatten)]
    pub others: OtherFields,
}

impl Default for Unet2dConfig {
    fn default() -> Self {
        let [down, attn_down] = DOWN.map(str::to_owned);
        let [up, attn_up] = UP.map(str::to_owned);
        Self {
            in_channels: 3,
            out_channels: 3,
            center_input_sample: false,
            time_embedding_dim: None,
            freq_shift: 0.0,
            flip_sin_to_cos: true,
            down_block_types: vec![down, attn_down.clone(), attn_down.clone(), attn_down],
            up_block_types: vec![attn_up.clone(), attn_up.clone(), attn_up, up],
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            dropout: 0.0,
            attention_head_dim: Some(8),
            norm_num_groups: 32,
            attn_norm_num_groups: None,
            norm_eps: 1e-5,
            resnet_time_scale_shift: TimeScaleShift::Default,
            add_attention: true,
            num_class_embeds: None,
            others: OtherFields::new(),
        }
    }
}

impl Unet2dConfig {
    /// `google/ddpm-cifar10-32`.
    pub fn ddpm_cifar10() -> Self {
        Self::ddpm(&[128, 256, 256, 256], 1)
    }

    /// `google/ddpm-celebahq-256` and, for the same resolution, `ddpm-bedroom-256`, `ddpm-cat-256`, `ddpm-church-256` and
    /// their `ddpm-ema-*`.
    pub fn ddpm_256() -> Self {
        Self::ddpm(&[128, 128, 256, 256, 512, 512], 4)
    }

    /// DDPM's network with attention on the level `attends`.
    fn ddpm(widths: &[i64], attends: usize) -> Self {
        let types = |names: [&'static str; 2]| {
            let name = move |level| names[usize::from(level == attends)].to_owned();
            (0..widths.len()).map(name)
        };
        Self {
            down_block_types: types(DOWN).collect(),
            up_block_types: types(UP).rev().collect(),
            block_out_channels: widths.into(),
            downsample_padding: 0,
            flip_sin_to_cos: false,
            freq_shift: 1.0,
            norm_eps: 1e-6,
            attention_head_dim: None,
            ..Self::default()
        }
    }

    /// Checks that a network with these values exists.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) and its siblings, for the first value that is wrong.
    pub fn validate(&self) -> Result<()> {
        FIELDS.check(&self.others)?;
        let types: [(&[String], &[&str]); 2] =
            [(&self.down_block_types, &DOWN), (&self.up_block_types, &UP)];
        check::levels(&self.block_out_channels, types)?;
        check::frequencies(self.block_out_channels[0], self.freq_shift)?;
        check::positive("mid_block_scale_factor", self.mid_block_scale_factor)?;
        check::positive("norm_eps", self.norm_eps)?;
        in_range("in_channels", self.in_channels, 1, 1 << 16)?;
        in_range("out_channels", self.out_channels, 1, 1 << 16)?;
        in_range("layers_per_block", self.layers_per_block, 1, MAX_BLOCKS)?;
        in_range("downsample_padding", self.downsample_padding, 0, 1)?;
        in_range("norm_num_groups", self.norm_num_groups, 1, 1 << 16)?;
        let optional = |field, value: Option<i64>| in_range(field, value.unwrap_or(1), 1, 1 << 20);
        optional("attention_head_dim", self.attention_head_dim)?;
        optional("attn_norm_num_groups", self.attn_norm_num_groups)?;
        optional("time_embedding_dim", self.time_embedding_dim)?;
        optional("num_class_embeds", self.num_class_embeds)?;
        probability("dropout", self.dropout)?;
        check::plan(&self.plan())
    }

    /// Width of the embedding that every block sees.
    pub(super) fn emb_channels(&self) -> i64 {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }

    /// What height and width of the images must be multiples of.
    pub(crate) fn multiple(&self) -> i64 {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Only for widths and block types that were checked.
    pub(super) fn plan(&self) -> Plan {
        let blocks = |&width: &i64| (width, self.layers_per_block);
        let levels: Vec<(i64, i64)> = self.block_out_channels.iter().map(blocks).collect();
        let ladder = Ladder { prefix: "", levels: &levels };
        let coarsest = levels.len() - 1;
        let attends = |level: usize, attends| match attends {
            true => self.pixels(levels[level].0, Some(self.norm_num_groups)),
            false => AttentionPlan::None,
        };
        let mid_groups = match self.resnet_time_scale_shift {
            TimeScaleShift::Default => Some(self.norm_num_groups),
            TimeScaleShift::ScaleShift => None,
        };
        let mid = match self.add_attention {
            true => self.pixels(levels[coarsest].0, self.attn_norm_num_groups.or(mid_groups)),
            false => AttentionPlan::None,
        };
        Plan {
            images: [self.in_channels, self.out_channels],
            width: levels[0].0,
            down: ladder.down(self.downsample_padding, |level, _| {
                attends(level, self.down_block_types[level] == DOWN[1])
            }),
            mid: ladder.mid(&[mid, AttentionPlan::None], self.mid_block_scale_factor),
            up: ladder.up(true, |level, _| {
                attends(level, self.up_block_types[coarsest - level] == UP[1])
            }),
            style: Style {
                groups: self.norm_num_groups,
                epsilon: self.norm_eps,
                dropout: self.dropout,
                time: Some((self.emb_channels(), self.resnet_time_scale_shift)),
            },
        }
    }

    fn pixels(&self, width: i64, groups: Option<i64>) -> AttentionPlan {
        let head_width = self.attention_head_dim.unwrap_or(width);
        AttentionPlan::Pixels(PixelsPlan { head_width, groups })
    }
}
