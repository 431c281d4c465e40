//! A convolution that halves the resolution afterwards.

use super::{Conv2d, Resample, Resampler};
use crate::builder::{Builder, Init};
use tch::Tensor;

/// A 3 × 3 convolution, then a halving: EDM's fused form, which computes the convolution where the halving's filter needs
/// it beyond the image, too. Its zeros are outside of the convolution, not between the two.
#[derive(Debug)]
pub(crate) struct FusedDown {
    conv: Conv2d,
    resampler: Resampler,
}

impl FusedDown {
    /// `channels`: `[in, out]`. `taps`: of the filter.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: [i64; 2],
        taps: &[i64],
        init: Init,
    ) -> Self {
        let conv = Conv2d::new(builder, name, channels, 3, Resample::Keep, init);
        Self { conv, resampler: Resampler::new(builder, name, Resample::Down, taps) }
    }

    /// `[B, in, H, W]` to `[B, out, H / 2, W / 2]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let padding = self.resampler.padding();
        let convolved = match padding {
            0 => self.conv.forward(x),
            _ => self.conv.forward(&x.constant_pad_nd([padding; 4])),
        };
        self.resampler.halve_padded(&convolved)
    }

    /// The convolution.
    pub(crate) fn conv(&self) -> &Conv2d {
        &self.conv
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Device;

    #[test]
    fn the_convolution_reaches_beyond_the_image_and_the_bias_comes_last() {
        let (x, none) = (Noise::new(1).normal(&[2, 3, 8, 6]), None::<&Tensor>);
        for taps in [&[1, 1][..], &[1, 3, 3, 1]] {
            let (mut noise, n) = (Noise::new(2), taps.len() as i64);
            let mut builder = Builder::drawn(&mut noise, Device::Cpu);
            let fused = FusedDown::new(&mut builder, "aux", [3, 4], taps, Init::FanIn);
            let parameters = builder.finish().parameters;
            let [weight, bias, filter] = ["weight", "bias", "resample_filter"]
                .map(|part| parameters.get(&format!("aux.{part}")).unwrap().detach());
            let wide = x.conv2d(&weight, none, [1, 1], [n / 2; 2], [1, 1], 1);
            let filter = filter.repeat([4, 1, 1, 1]);
            let expected =
                wide.conv2d(&filter, none, [2, 2], [0, 0], [1, 1], 4) + bias.view([4, 1, 1]);
            let found = fused.forward(&x);
            assert_eq!(found.size(), [2, 4, 4, 3]);
            assert!((found - expected).abs().max().double_value(&[]) < 1e-6, "{taps:?}");
        }
    }
}
