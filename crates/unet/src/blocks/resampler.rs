//! Halving and doubling with a filter that stands in the state dict.

use super::Resample;
use crate::builder::Builder;
use tch::Tensor;

/// Halves or doubles the resolution with a separable filter.
///
/// ```text
/// down   out[i] = Σ_k f[k] · x[2i + k - p]            p = ⌈n/2⌉ - 1, x is zero outside of the image
/// up     out[i] = Σ_j 2 f[i + p - 2j] · x[j]
/// ```
///
/// along each axis; `f` are the `n` taps divided by their sum. What is computed equals these sums at the borders, too.
/// The filter is registered as the buffer `resample_filter`; its values follow from the taps and are not read.
#[derive(Debug)]
pub(crate) struct Resampler {
    resample: Resample,
    form: Form,
}

/// How a filter is computed.
#[derive(Debug)]
enum Form {
    /// `[1, 1]`, see [`Resample::apply`].
    Box,
    /// `[1, 3, 3, 1]`: doubling is linear interpolation, except that the image is zero outside.
    Linear(Tensor),
    /// Any other, as a depthwise convolution with `[1, 1, n, n]`.
    Depthwise(Tensor),
}

impl Resampler {
    /// `taps`: an even number of them.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        resample: Resample,
        taps: &[i64],
    ) -> Self {
        let taps: Vec<f64> = taps.iter().map(|&tap| tap as f64).collect();
        if resample != Resample::Keep {
            let name = format!("{name}.resample_filter");
            let _ = builder.buffer(&name, Resample::filter(&taps));
        }
        let filter = || Resample::filter(&taps).to_device(builder.device());
        let form = match taps[..] {
            [1.0, 1.0] => Form::Box,
            [1.0, 3.0, 3.0, 1.0] => Form::Linear(filter()),
            _ => Form::Depthwise(filter()),
        };
        Self { resample, form }
    }

    /// `[B, C, H, W]` to `[B, C, H', W']`.
    pub(crate) fn apply(&self, x: &Tensor) -> Tensor {
        match (&self.form, self.resample) {
            (Form::Box, _) | (_, Resample::Keep) => self.resample.apply(x),
            (Form::Linear(filter) | Form::Depthwise(filter), Resample::Down) => {
                depthwise_down(x, filter, self.padding())
            }
            (Form::Linear(_), Resample::Up) => linear_up(x),
            (Form::Depthwise(filter), Resample::Up) => depthwise_up(x, filter, self.padding()),
        }
    }

    /// Halves an image that brings [`Resampler::padding`] pixels on each side with it, in the place of zeros.
    pub(crate) fn halve_padded(&self, x: &Tensor) -> Tensor {
        match &self.form {
            Form::Box => Resample::Down.apply(x),
            Form::Linear(filter) | Form::Depthwise(filter) => depthwise_down(x, filter, 0),
        }
    }

    /// How many pixels beyond the image the filter reaches, on each side.
    pub(crate) fn padding(&self) -> i64 {
        match &self.form {
            Form::Box => 0,
            Form::Linear(filter) | Form::Depthwise(filter) => (filter.size()[3] - 1) / 2,
        }
    }
}

/// The filter for each of the channels of `x`.
fn for_channels_of(x: &Tensor, filter: &Tensor) -> (Tensor, i64) {
    let (channels, n) = (x.size()[1], filter.size()[3]);
    (filter.to_kind(x.kind()).expand([channels, 1, n, n], false), channels)
}

fn depthwise_down(x: &Tensor, filter: &Tensor, padding: i64) -> Tensor {
    let (filter, channels) = for_channels_of(x, filter);
    x.conv2d(&filter, None::<&Tensor>, [2, 2], [padding; 2], [1, 1], channels)
}

fn depthwise_up(x: &Tensor, filter: &Tensor, padding: i64) -> Tensor {
    let (filter, channels) = for_channels_of(x, &(filter * 4.0));
    let none = None::<&Tensor>;
    x.conv_transpose2d(&filter, none, [2, 2], [padding; 2], [0, 0], channels, [1, 1])
}

/// Interpolates with a frame of zeros, of which nothing remains but its share in the pixels at the border.
fn linear_up(x: &Tensor) -> Tensor {
    let (height, width) = (x.size()[2], x.size()[3]);
    let framed = x.constant_pad_nd([1, 1, 1, 1]);
    let doubled = framed.upsample_bilinear2d([2 * height + 4, 2 * width + 4], false, None, None);
    doubled.narrow(2, 2, 2 * height).narrow(3, 2, 2 * width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::channels_last;
    use diffusion_core::Noise;
    use tch::{Device, Kind};

    const FILTERS: [&[i64]; 4] = [&[1, 1], &[1, 3, 3, 1], &[2, 5], &[-1, 2, 7, 9, 0, 1]];

    fn resampler(resample: Resample, taps: &[i64]) -> Resampler {
        Resampler::new(&mut Builder::zeros(Device::Cpu), "conv", resample, taps)
    }

    /// The sums of the documentation along the last axis, then along the other.
    fn by_definition(x: &Tensor, resample: Resample, taps: &[i64]) -> Tensor {
        let along = |x: &Tensor| matrix(x.size()[3], resample, taps).matmul(&x.transpose(2, 3));
        along(&along(x))
    }

    /// `[out, in]`: what each pixel of a row gives to each pixel of the result.
    fn matrix(size: i64, resample: Resample, taps: &[i64]) -> Tensor {
        let sum = taps.iter().sum::<i64>() as f64;
        let tap = |k: i64| {
            usize::try_from(k).ok().and_then(|k| taps.get(k)).map_or(0.0, |&f| f as f64 / sum)
        };
        let p = (taps.len() as i64 + 1) / 2 - 1;
        let (rows, weight): (i64, Box<dyn Fn(i64, i64) -> f64>) = match resample {
            Resample::Keep => (size, Box::new(|i, j| f64::from(i == j))),
            Resample::Down => (size / 2, Box::new(|i, j| tap(j + p - 2 * i))),
            Resample::Up => (2 * size, Box::new(|i, j| 2.0 * tap(i + p - 2 * j))),
        };
        let cells = (0..rows).flat_map(|i| (0..size).map(move |j| (i, j)));
        let values: Vec<f32> = cells.map(|(i, j)| weight(i, j) as f32).collect();
        Tensor::from_slice(&values).view([rows, size])
    }

    #[test]
    fn every_filter_is_its_definition_up_to_the_borders() {
        let x = Noise::new(1).normal(&[2, 5, 6, 8]);
        for taps in FILTERS {
            for resample in [Resample::Keep, Resample::Down, Resample::Up] {
                let expected = by_definition(&x, resample, taps);
                for x in [x.copy(), channels_last(&x)] {
                    let found = resampler(resample, taps).apply(&x);
                    assert_eq!(found.size(), expected.size());
                    let error = (found - &expected).abs().max().double_value(&[]);
                    assert!(error < 3e-6, "{resample:?} with {taps:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn an_image_may_bring_its_padding() {
        let x = Noise::new(2).normal(&[1, 3, 8, 8]);
        for taps in FILTERS {
            let down = resampler(Resample::Down, taps);
            let padded = x.constant_pad_nd([down.padding(); 4]);
            let error = (down.halve_padded(&padded) - down.apply(&x)).abs().max();
            assert!(error.double_value(&[]) < 1e-6, "{taps:?}");
        }
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        for (taps, resample) in
            FILTERS.iter().flat_map(|f| [(f, Resample::Down), (f, Resample::Up)])
        {
            let x = Noise::new(3).normal(&[1, 2, 4, 4]).set_requires_grad(true);
            let y = resampler(resample, taps).apply(&x);
            let probe = Noise::new(4).normal(&y.size());
            (y * &probe).sum(Kind::Float).backward();
            let m = matrix(4, resample, taps);
            let expected = m.transpose(0, 1).matmul(&probe).matmul(&m);
            let error = (x.grad() - expected).abs().max().double_value(&[]);
            assert!(error < 3e-6, "{resample:?} with {taps:?}: {error}");
        }
    }
}
