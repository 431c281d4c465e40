//! A convolution that may resample first.

use super::{Resample, Resampler};
use crate::builder::{Builder, Init};
use libtorch_ext::kernels::{Convolution, PreparedWeight};
use std::cell::RefCell;
use tch::Tensor;

/// A square convolution with bias that keeps the resolution, after an optional halving or doubling.
#[derive(Debug)]
pub(crate) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    resampler: Resampler,
    prepared: RefCell<Option<Prepared>>,
}

/// The weight in the form that evaluation is fastest with, and the weight that it was made of.
#[derive(Debug)]
struct Prepared {
    of: WeightState,
    weight: PreparedWeight,
}

/// Where a weight lies and how often it was written to: differs once the values do.
type WeightState = (usize, i64);

impl Conv2d {
    /// `channels`: `[in, out]`. `kernel`: odd. Resamples with the box filter `[1, 1]`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        channels: [i64; 2],
        kernel: i64,
        resample: Resample,
        init: Init,
    ) -> Self {
        Self::filtered(builder, name, channels, kernel, (resample, &[1, 1]), init)
    }

    /// The same with the filter of these taps.
    pub(crate) fn filtered(
        builder: &mut Builder<'_>,
        name: &str,
        [from, to]: [i64; 2],
        kernel: i64,
        (resample, taps): (Resample, &[i64]),
        init: Init,
    ) -> Self {
        let weight = builder.weight(&format!("{name}.weight"), &[to, from, kernel, kernel], init);
        let bias = builder.bias(&format!("{name}.bias"), to, from * kernel * kernel, init);
        let resampler = Resampler::new(builder, name, resample, taps);
        Self { weight, bias, resampler, prepared: RefCell::new(None) }
    }

    /// `[B, in, H, W]` to `[B, out, H', W']`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_into(x, |convolution| convolution)
    }

    /// The same with what `complete` adds and multiplies.
    pub(crate) fn forward_into<'a>(
        &'a self,
        x: &Tensor,
        complete: impl FnOnce(Convolution<'a>) -> Convolution<'a>,
    ) -> Tensor {
        let x = self.resampler.apply(x);
        let prepared = self.prepared.borrow();
        let fresh = prepared.as_ref().filter(|prepared| prepared.of == self.weight_state());
        let convolution = Convolution::new(&self.weight).bias(&self.bias);
        let completed = complete(convolution);
        let result = completed.prepared(fresh.map(|prepared| &prepared.weight)).forward(&x);
        result.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Brings the weight into the form that evaluation is fastest with. Changing the weight undoes it.
    pub(crate) fn prepare(&self) {
        let prepared = PreparedWeight::new(&self.weight).unwrap_or_else(|error| panic!("{error}"));
        let of = self.weight_state();
        *self.prepared.borrow_mut() = prepared.map(|weight| Prepared { of, weight });
    }

    fn weight_state(&self) -> WeightState {
        (self.weight.data_ptr() as usize, self.weight.internal_version())
    }
}
