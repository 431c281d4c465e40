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
    /// `[1, 1, n, n]`; none for the box filter `[1, 1]`, which has cheaper forms.
    filter: Option<Tensor>,
}

impl Resampler {
    /// `taps`: an even number of them.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        resample: Resample,
        taps: &[i64],
    ) -> Self {
        if resample == Resample::Keep {
            return Self { resample, filter: None };
        }
        let floats: Vec<f64> = taps.iter().map(|&tap| tap as f64).collect();
        let filter = Resample::filter(&floats).to_device(builder.device());
        let _ = builder.buffer(&format!("{name}.resample_filter"), filter.copy());
        Self { resample, filter: (taps != [1, 1]).then_some(filter) }
    }

    /// `[B, C, H, W]` to `[B, C, H', W']`.
    pub(crate) fn apply(&self, x: &Tensor) -> Tensor {
        self.with_padding(x, self.padding())
    }

    /// Halves an image that brings [`Resampler::padding`] pixels on each side with it, in the place of zeros.
    pub(crate) fn halve_padded(&self, x: &Tensor) -> Tensor {
        self.with_padding(x, 0)
    }

    fn with_padding(&self, x: &Tensor, padding: i64) -> Tensor {
        match &self.filter {
            None => self.resample.apply(x),
            Some(filter) => self.resample.convolve(x, filter, padding),
        }
    }

    /// How many pixels beyond the image the filter reaches, on each side.
    pub(crate) fn padding(&self) -> i64 {
        self.filter.as_ref().map_or(0, |filter| (filter.size()[3] - 1) / 2)
    }
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
