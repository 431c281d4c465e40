//! Images as sequences of patches.

use super::config::GetConfig;
use crate::blocks::{LayerNorm, Linear};
use crate::builder::{Builder, Init};
use std::iter;
use tch::{Kind, Tensor};

/// Patches as tokens: a linear map of each, plus a fixed table of sines and cosines that says where it is.
#[derive(Debug)]
pub(super) struct PatchEmbedding {
    weight: Tensor,
    bias: Tensor,
    positions: Tensor,
}

impl PatchEmbedding {
    /// The tensors `pos_embed`, a constant, and `x_embedder.proj`.
    pub(super) fn new(builder: &mut Builder<'_>, config: &GetConfig) -> Self {
        let &GetConfig { patch_size: p, in_channels, hidden_size, .. } = config;
        let fan_in = in_channels * p * p;
        // the bound of a matrix [hidden_size, fan_in]; as a convolution the weight would count p² outputs
        let gain = (fan_in + hidden_size * p * p) as f64 / (fan_in + hidden_size) as f64;
        let (name, init) = ("x_embedder.proj", Init::Glorot(gain.sqrt()));
        let positions = builder.buffer("pos_embed", positions(config.patches(), hidden_size));
        let shape = [hidden_size, in_channels, p, p];
        Self {
            weight: builder.weight(&format!("{name}.weight"), &shape, init),
            bias: builder.bias(&format!("{name}.bias"), hidden_size, fan_in, init),
            positions,
        }
    }

    /// `[B, C, H, W]` to `[B, patches, hidden_size]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.embed(x) + &self.positions
    }

    fn embed(&self, x: &Tensor) -> Tensor {
        let stride = self.weight.size()[2];
        let patches = x.conv2d(&self.weight, Some(&self.bias), [stride, stride], [0, 0], [1, 1], 1);
        patches.flatten(2, 3).transpose(1, 2)
    }
}

/// Tokens as patches again.
#[derive(Debug)]
pub(super) struct FinalLayer {
    norm: LayerNorm,
    linear: Linear,
    patch_size: i64,
    channels: i64,
}

impl FinalLayer {
    /// The layers `final_layer.norm_final` and `final_layer.linear`; a fresh network answers with zeros.
    pub(super) fn new(builder: &mut Builder<'_>, config: &GetConfig) -> Self {
        let &GetConfig { patch_size, in_channels: channels, hidden_size, .. } = config;
        let features = [hidden_size, patch_size * patch_size * channels];
        Self {
            norm: LayerNorm::new(builder, "final_layer.norm_final", hidden_size, 1e-6),
            linear: Linear::new(builder, "final_layer.linear", features, Init::Zero),
            patch_size,
            channels,
        }
    }

    /// `[B, patches, hidden_size]` to `[B, C, H, W]`. The values of a patch run over (row, column, channel).
    pub(super) fn forward(&self, tokens: &Tensor) -> Tensor {
        let (p, c) = (self.patch_size, self.channels);
        let values = self.linear.forward(&self.norm.forward(tokens));
        let side = (values.size()[1] as f64).sqrt().round() as i64;
        let patches = values.reshape([-1, side, side, p, p, c]).permute([0, 5, 1, 3, 2, 4]);
        patches.reshape([-1, c, side * p, side * p])
    }
}

/// Where each patch is, `[1, side², width]`: sines and cosines of its column, then of its row.
///
/// ```text
/// f_k = 10000^(-k / n),  k = 0 … n-1,  n = width / 4
/// [sin(column f), cos(column f), sin(row f), cos(row f)]
/// ```
fn positions(side: i64, width: i64) -> Tensor {
    let n = width / 4;
    let frequency = |k: i64| 10_000f64.powf(-(k as f64) / n as f64);
    let waves = |at: i64| {
        let angles = move |k| at as f64 * frequency(k);
        (0..n).map(move |k| angles(k).sin()).chain((0..n).map(move |k| angles(k).cos()))
    };
    let places = (0..side).flat_map(|row| iter::repeat_n(row, side as usize).zip(0..side));
    let table: Vec<f64> =
        places.flat_map(|(row, column)| waves(column).chain(waves(row))).collect();
    Tensor::from_slice(&table).to_kind(Kind::Float).view([1, side * side, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn positions_say_column_and_row() {
        let table = positions(3, 8);
        assert_eq!(table.size(), [1, 9, 8]);
        let (row, column) = (2.0f64, 1.0f64);
        let expected = [
            column.sin(),
            (column * 0.01).sin(),
            column.cos(),
            (column * 0.01).cos(),
            row.sin(),
            (row * 0.01).sin(),
            row.cos(),
            (row * 0.01).cos(),
        ];
        for (k, expected) in (0..).zip(expected) {
            assert!((table.double_value(&[0, 2 * 3 + 1, k]) - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn values_of_a_patch_run_over_row_column_channel() {
        let config =
            GetConfig { input_size: 4, hidden_size: 8, num_heads: 1, ..GetConfig::default() };
        let mut builder = Builder::zeros(Device::Cpu);
        let layer = FinalLayer::new(&mut builder, &config);
        let bias =
            builder.finish().parameters.get("final_layer.linear.bias").unwrap().shallow_clone();
        let ramp = Tensor::arange(12, (Kind::Float, Device::Cpu));
        let _no_grad = tch::no_grad_guard();
        bias.shallow_clone().copy_(&ramp);
        let image = layer.forward(&Tensor::zeros([1, 4, 8], (Kind::Float, Device::Cpu)));
        assert_eq!(image.size(), [1, 3, 4, 4]);
        for (channel, row, column) in [(0, 0, 0), (2, 1, 0), (1, 2, 3), (2, 3, 3)] {
            let expected = ((row % 2) * 2 + column % 2) * 3 + channel;
            assert_eq!(image.double_value(&[0, channel, row, column]), expected as f64);
        }
    }
}
