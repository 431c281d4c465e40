//! The filters of Pillow, and the weights they give the pixels of a line.

use std::f64::consts::PI;

/// A filter of Pillow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    /// The cubic convolution with `a = -0.5`.
    Bicubic,
    /// The sinc function, windowed by its own main lobe over three pixels.
    Lanczos,
}

impl Filter {
    /// Beyond this distance the filter is zero.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// The pixels that one output pixel is made of.
#[derive(Debug)]
pub(super) struct Taps {
    /// The first pixel.
    pub(super) start: usize,
    /// The weights of it and those after it; their sum is 1.
    pub(super) weights: Vec<f64>,
}

/// The taps of every pixel of a line of `to` pixels that is made of `from` pixels.
///
/// Where the line gets shorter, the filter gets wider, and so smooths.
pub(super) fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let width = scale.max(1.0);
    let support = filter.support() * width;
    let of = |pixel: usize| {
        let center = (pixel as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |x: usize| filter.at((x as f64 - center + 0.5) / width);
        let weights: Vec<f64> = (start..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        Taps { start, weights: weights.into_iter().map(|weight| weight / sum).collect() }
    };
    (0..to).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_their_nodes() {
        for filter in [Filter::Bicubic, Filter::Lanczos] {
            assert_eq!(filter.at(0.0), 1.0);
            for node in [1.0, 2.0, 3.0, -1.0, -4.0] {
                assert!(filter.at(node).abs() < 1e-16, "{filter:?} at {node}");
            }
            assert_eq!(filter.at(0.3), filter.at(-0.3));
        }
        assert!((Filter::Bicubic.at(0.5) - 0.5625).abs() < 1e-15);
        assert!((Filter::Bicubic.at(1.5) + 0.0625).abs() < 1e-15);
    }

    #[test]
    fn weights_add_up_and_stay_inside() {
        for (from, to) in [(32, 299), (320, 64), (1, 5), (7, 1), (300, 299)] {
            for taps in taps(from, to, Filter::Lanczos) {
                assert!(taps.start + taps.weights.len() <= from && !taps.weights.is_empty());
                assert!((taps.weights.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            }
        }
    }
}
