//! Group normalization.

use crate::builder::Builder;
use libtorch_ext::kernels;
use tch::Tensor;

/// Group normalization with a scale and a shift for each channel.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    epsilon: f64,
}

impl GroupNorm {
    /// Starts as the plain normalization: scale 1, shift 0. `epsilon` is added to the variance; it matters for faint
    /// images, and families of networks differ in it.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: i64,
        groups: i64,
        epsilon: f64,
    ) -> Self {
        let weight = builder.constant(&format!("{name}.weight"), channels, 1.0);
        let bias = builder.constant(&format!("{name}.bias"), channels, 0.0);
        Self { weight, bias, groups, epsilon }
    }

    /// `[B, channels, H, W]`, normalized.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        kernels::group_norm(x, self.groups, &self.weight, &self.bias, self.epsilon)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, then scaled and shifted by a condition: `normalized · (1 + scale) + shift`, each `[B, channels]`.
    pub(crate) fn forward_modulated(&self, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Tensor {
        let per_channel = |t: &Tensor| t.unsqueeze(-1).unsqueeze(-1);
        per_channel(shift).addcmul(&self.forward(x), &(per_channel(scale) + 1.0))
    }

    /// [`GroupNorm::forward`], then SiLU.
    pub(crate) fn forward_silu(&self, x: &Tensor) -> Tensor {
        kernels::group_norm_silu(x, self.groups, &self.weight, &self.bias, self.epsilon)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Device;

    #[test]
    fn a_faint_input_shows_the_epsilon() {
        let norm = GroupNorm::new(&mut Builder::zeros(Device::Cpu), "norm", 8, 2, 1e-6);
        let x = Noise::new(4).normal(&[1, 8, 16, 16]) * 1e-3;
        let variance = x.view([2, 4 * 16 * 16]).var_dim([1].as_slice(), false, false);
        let expected = (&variance / (&variance + 1e-6)).mean(None).double_value(&[]);
        let found = norm.forward(&x).square().mean(None).double_value(&[]);
        // With 1e-5 the value would be about 0.09; here it is about 0.5.
        assert!((found / expected - 1.0).abs() < 0.01, "{found} {expected}");
    }
}
