//! What the machine can compute at most.

use fewstep::prelude::*;
use fewstep::tch;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Measured peaks, in floating-point operations a second.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) f32: Peak,
    pub(crate) bf16: Peak,
}

/// The peaks of one precision.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Peak {
    /// The product of two matrices of 2048 × 2048.
    pub(crate) matmul: f64,
    /// A 3 × 3 convolution from 256 to 256 channels on 8 images of 32 × 32.
    pub(crate) conv: f64,
}

impl Limits {
    pub(crate) fn measure() -> Self {
        Self { f32: Peak::measure(Kind::Float), bf16: Peak::measure(Kind::BFloat16) }
    }
}

impl Peak {
    fn measure(kind: Kind) -> Self {
        let _no_grad = tch::no_grad_guard();
        let mut noise = Noise::new(1);
        let mut normal = |shape: &[i64]| noise.normal(shape).to_kind(kind);
        let (a, b) = (normal(&[2048, 2048]), normal(&[2048, 2048]));
        let matmul = 2.0 * 2048f64.powi(3) / fastest(|| a.matmul(&b));
        let (x, weight) = (normal(&[8, 256, 32, 32]), normal(&[256, 256, 3, 3]));
        let flops = 2.0 * (8u64 * 256 * 256 * 9 * 32 * 32) as f64;
        let convolve = || x.conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1);
        Self { matmul, conv: flops / fastest(convolve) }
    }
}

/// The shortest of three or more runs, in seconds.
fn fastest(work: impl Fn() -> Tensor) -> f64 {
    let begin = Instant::now();
    let timed = |_| {
        let start = Instant::now();
        drop(work());
        start.elapsed().as_secs_f64()
    };
    (0..30)
        .take_while(|&index| index < 3 || begin.elapsed().as_secs_f64() < 1.0)
        .map(timed)
        .fold(f64::INFINITY, f64::min)
}
