//! Halving and doubling the resolution.

use tch::{Device, Kind, Tensor};

/// What a convolution does to the resolution before it convolves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resample {
    /// Keeps it.
    Keep,
    /// Halves it.
    Down,
    /// Doubles it.
    Up,
}

impl Resample {
    /// Resamples with the box filter `[1, 1]`, for which the mean of four pixels and their repetition are the same
    /// as the official strided depthwise convolutions. Whichever is cheaper is computed: on the CPU, the convolutions where
    /// gradients are wanted.
    pub(crate) fn apply(self, x: &Tensor) -> Tensor {
        if x.requires_grad() && x.device() == Device::Cpu {
            let filter = Tensor::full([1, 1, 2, 2], 0.25, (x.kind(), Device::Cpu));
            return self.convolve(x, &filter, 0);
        }
        match self {
            Self::Keep => x.shallow_clone(),
            Self::Down => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
            Self::Up => {
                let (height, width) = (x.size()[2], x.size()[3]);
                x.upsample_nearest2d([2 * height, 2 * width], None, None)
            }
        }
    }

    /// The definition: a strided depthwise convolution with `filter`, as in the state dict. `padding`: so many zeros on
    /// each side; where the resolution doubles, so many pixels are cut off instead.
    pub(crate) fn convolve(self, x: &Tensor, filter: &Tensor, padding: i64) -> Tensor {
        let (channels, n) = (x.size()[1], filter.size()[3]);
        let spread = |filter: &Tensor| filter.to_kind(x.kind()).expand([channels, 1, n, n], false);
        let (none, two, padding) = (None::<&Tensor>, [2, 2], [padding; 2]);
        match self {
            Self::Keep => x.shallow_clone(),
            Self::Down => x.conv2d(&spread(filter), none, two, padding, [1, 1], channels),
            Self::Up => {
                let filter = spread(&(filter * 4.0));
                x.conv_transpose2d(&filter, none, two, padding, [0, 0], channels, [1, 1])
            }
        }
    }

    /// The filter as it stands in the state dict: `[1, 1, k, k]` with sum 1, the outer product of `taps`.
    pub(crate) fn filter(taps: &[f64]) -> Tensor {
        let (taps, k) = (Tensor::from_slice(taps), taps.len() as i64);
        let outer = taps.outer(&taps);
        (&outer / outer.sum(Kind::Double)).to_kind(Kind::Float).view([1, 1, k, k])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    #[test]
    fn the_cheap_forms_equal_the_depthwise_convolutions() {
        let x = Noise::new(1).normal(&[2, 5, 6, 8]);
        for resample in [Resample::Keep, Resample::Down, Resample::Up] {
            let exact = resample.convolve(&x, &Resample::filter(&[1.0, 1.0]), 0);
            for graph in [false, true] {
                let cheap = resample.apply(&x.detach().set_requires_grad(graph));
                assert_eq!((cheap.size(), cheap.requires_grad()), (exact.size(), graph));
                let error = (cheap - &exact).abs().max().double_value(&[]);
                assert!(error < 1e-6, "{resample:?}: {error}");
            }
        }
    }

    #[test]
    fn a_filter_sums_to_one() {
        assert_eq!(
            Vec::<f32>::try_from(Resample::filter(&[1.0, 1.0]).view(-1)).unwrap(),
            [0.25; 4]
        );
        assert_eq!(
            Resample::filter(&[1.0, 3.0, 3.0, 1.0]).sum(Kind::Double).double_value(&[]),
            1.0
        );
    }
}
