//! The noise level, and other numbers, as vectors.

use crate::blocks::{Linear, Order, PositionalEmbedding};
use crate::builder::{Builder, Init};
use std::f64::consts::LN_10;
use tch::{Device, Kind, Tensor};

const LN_10_000: f64 = 4.0 * LN_10;

/// Sines and cosines of a network's time argument.
///
/// Frequencies come from the official chain of operations in `f32`: at time steps near 1000 their last digits show.
pub(crate) fn sinusoids(
    channels: i64,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    device: Device,
) -> PositionalEmbedding {
    let n = channels / 2;
    let exponents = counting(n) * -LN_10_000 / (n as f64 - freq_shift);
    let order = if flip_sin_to_cos { Order::CosSin } else { Order::SinCos };
    PositionalEmbedding::with_frequencies(exponents.exp().to_device(device), order)
}

/// Sines and cosines of 1000 times the guidance scale, with the frequencies of latent consistency models: the same as
/// those of [`sinusoids`] with a shift of 1, from another chain of operations.
pub(crate) fn guidance_sinusoids(channels: i64, device: Device) -> PositionalEmbedding {
    let n = channels / 2;
    let step = f64::from(LN_10_000 as f32 / (n - 1) as f32);
    let freqs = (counting(n) * -step).exp();
    PositionalEmbedding::with_frequencies(freqs.to_device(device), Order::SinCos)
}

fn counting(n: i64) -> Tensor {
    Tensor::arange(n, (Kind::Float, Device::Cpu))
}

/// Two fully connected layers.
///
/// ```text
/// linear_2(silu(linear_1(x + cond_proj(condition))))
/// ```
#[derive(Debug)]
pub(crate) struct TimeEmbedding {
    linear_1: Linear,
    cond_proj: Option<Linear>,
    linear_2: Linear,
}

impl TimeEmbedding {
    /// `channels`: `[in, out]`. `condition`: width of what `cond_proj` takes, if that exists.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        [from, to]: [i64; 2],
        condition: Option<i64>,
    ) -> Self {
        let (part, init) = (|part: &str| format!("{name}.{part}"), Init::FanIn);
        Self {
            linear_1: Linear::new(builder, &part("linear_1"), [from, to], init),
            cond_proj: condition.map(|width| {
                Linear::without_bias(builder, &part("cond_proj"), [width, from], init)
            }),
            linear_2: Linear::new(builder, &part("linear_2"), [to, to], init),
        }
    }

    /// `x`: `[B, in]`; `condition`: `[B, width]`; returns `[B, out]`.
    pub(crate) fn forward(&self, x: &Tensor, condition: Option<&Tensor>) -> Tensor {
        let projected = match (&self.cond_proj, condition) {
            (Some(cond_proj), Some(condition)) => &(x + cond_proj.forward(condition)),
            _ => x,
        };
        self.linear_2.forward(&self.linear_1.forward(projected).silu())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &Tensor, expected: &[f64]) {
        let found = Vec::<f64>::try_from(found.to_kind(Kind::Double).view(-1)).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn frequencies_go_down_geometrically() {
        let steps = Tensor::from_slice(&[500f32]);
        let angles = [0.0, 1.0, 2.0].map(|i| 500.0 * 10_000f64.powf(-i / 3.0));
        let expected = [angles.map(f64::cos), angles.map(f64::sin)].concat();
        assert_close(&sinusoids(6, true, 0.0, Device::Cpu).forward(&steps), &expected);
        let angles: [f64; 3] = [500.0, 5.0, 0.05];
        let expected = [angles.map(f64::sin), angles.map(f64::cos)].concat();
        assert_close(&sinusoids(6, false, 1.0, Device::Cpu).forward(&steps), &expected);
        assert_close(&guidance_sinusoids(6, Device::Cpu).forward(&steps), &expected);
    }
}
