//! The residual block.

use super::plan::Style;
use super::time_scale_shift::TimeScaleShift;
use crate::blocks::{Block, Conv2d, GroupNorm, Linear, Pass, Resample};
use crate::builder::{Builder, Init};
use tch::Tensor;

/// Two convolutions, the embedding between them, and a residual connection.
///
/// ```text
/// h   = conv1(silu(norm1(x))) + time_emb_proj(emb)
/// h   = conv2(dropout(silu(norm2(h))))
/// out = (h + shortcut(x)) / divisor
/// ```
///
/// With [`TimeScaleShift::ScaleShift`] the embedding scales and shifts what `norm2` returns instead.
#[derive(Debug)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<(Linear, TimeScaleShift)>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    dropout: f64,
    divisor: f64,
}

impl Resnet {
    pub(super) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        [from, to]: [i64; 2],
        style: &Style,
        divisor: f64,
    ) -> Self {
        let &Style { groups, epsilon, dropout, time } = style;
        let part = |part: &str| format!("{name}.{part}");
        let conv = |builder: &mut Builder<'_>, name, channels, kernel| {
            Conv2d::new(builder, &part(name), channels, kernel, Resample::Keep, Init::FanIn)
        };
        let norm = |builder: &mut Builder<'_>, name, channels| {
            GroupNorm::new(builder, &part(name), channels, groups, epsilon)
        };
        Self {
            norm1: norm(builder, "norm1", from),
            conv1: conv(builder, "conv1", [from, to], 3),
            time: time.map(|(width, usage)| {
                let to = if usage == TimeScaleShift::ScaleShift { 2 * to } else { to };
                (Linear::new(builder, &part("time_emb_proj"), [width, to], Init::FanIn), usage)
            }),
            norm2: norm(builder, "norm2", to),
            conv2: conv(builder, "conv2", [to, to], 3),
            shortcut: (from != to).then(|| conv(builder, "conv_shortcut", [from, to], 1)),
            dropout,
            divisor,
        }
    }

    /// The first convolution, the embedding, the second normalization and its activation.
    fn embedded(&self, x: &Tensor, emb: Option<&Tensor>) -> Tensor {
        let h = self.norm1.forward_silu(x);
        let Some((linear, usage)) = &self.time else {
            return self.norm2.forward_silu(&self.conv1.forward(&h));
        };
        let emb = linear.forward(emb.expect("the network was built with an embedding"));
        match usage {
            TimeScaleShift::Default => {
                self.norm2.forward_silu(&self.conv1.forward_into(&h, |conv| conv.shift(&emb)))
            }
            TimeScaleShift::ScaleShift => {
                let halves = emb.chunk(2, 1);
                let h = self.conv1.forward(&h);
                self.norm2.forward_modulated(&h, &halves[0], &halves[1]).silu()
            }
        }
    }
}

impl Block for Resnet {
    /// Inputs: `x`, `[B, in, H, W]`, and, unless the network has none, the activated embedding, `[B, width]`; returns
    /// `[B, out, H, W]`.
    fn forward(&self, inputs: &[Tensor], pass: &mut Pass<'_>) -> Tensor {
        let x = &inputs[0];
        let h = pass.dropout(self.embedded(x, inputs.get(1)), self.dropout);
        let skip = self.shortcut.as_ref().map_or_else(|| x.shallow_clone(), |conv| conv.forward(x));
        self.conv2.forward_into(&h, |conv| conv.residual(&skip).scale(1.0 / self.divisor))
    }

    fn convolutions(&self) -> Vec<&Conv2d> {
        [&self.conv1, &self.conv2].into_iter().chain(&self.shortcut).collect()
    }
}
