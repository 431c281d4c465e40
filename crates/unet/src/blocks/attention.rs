//! Self-attention over the pixels of an image.

use super::{Conv2d, GroupNorm, Resample};
use crate::builder::Builder;
use libtorch_ext::kernels;
use std::f64::consts::FRAC_1_SQRT_2;
use tch::Tensor;

/// Self-attention with a residual connection, the sum scaled by √½.
#[derive(Debug)]
pub(crate) struct Attention {
    norm: GroupNorm,
    qkv: Conv2d,
    proj: Conv2d,
    heads: i64,
}

impl Attention {
    /// The layers `norm2`, `qkv` and `proj` of the block `name`.
    pub(crate) fn new(builder: &mut Builder, name: &str, channels: i64, heads: i64) -> Self {
        let norm = GroupNorm::new(builder, &format!("{name}.norm2"), channels);
        let pointwise = |builder: &mut Builder, part, to, gain| {
            Conv2d::new(builder, &format!("{name}.{part}"), [channels, to], 1, Resample::Keep, gain)
        };
        let qkv = pointwise(builder, "qkv", 3 * channels, 0.2f64.sqrt());
        let proj = pointwise(builder, "proj", channels, 1e-5);
        Self { norm, qkv, proj, heads }
    }

    /// `[B, channels, H, W]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let attended = attend(&self.qkv.forward(&self.norm.forward(x)), self.heads);
        self.proj.forward_into(&attended, |conv| conv.residual(x).scale(FRAC_1_SQRT_2))
    }
}

/// Lets every pixel look at every other: `[B, 3C, H, W]` to `[B, C, H, W]`.
///
/// The channels of `qkv` run over (head, channel of the head, query | key | value), the last fastest.
///
/// ```text
/// w[q, k] = softmax over k of  Σ_c query[c, q] · key[c, k] / √(C / heads)
/// a[c, q] = Σ_k w[q, k] · value[c, k]
/// ```
fn attend(qkv: &Tensor, heads: i64) -> Tensor {
    let [b, three_c, h, w] = qkv.size()[..] else { panic!("`qkv` must have four axes") };
    let width = three_c / 3 / heads;
    let by_pixel = qkv.permute([0, 2, 3, 1]).reshape([b, h * w, heads, width, 3]);
    let parts = by_pixel.permute([4, 0, 2, 1, 3]).contiguous().unbind(0);
    let [query, key, value] = &parts[..] else { unreachable!("the axis has three entries") };
    let attended = kernels::attention(query, key, value).unwrap_or_else(|error| panic!("{error}"));
    attended.transpose(1, 2).reshape([b, h, w, heads * width]).permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;
    use tch::Kind;

    /// The formula, one number at a time.
    fn attend_by_hand(qkv: &Tensor, heads: usize, width: usize, pixels: usize) -> Vec<f64> {
        let qkv = Vec::<f64>::try_from(qkv.to_kind(Kind::Double).view(-1)).unwrap();
        let at = |head: usize, c: usize, part: usize, pixel: usize| {
            qkv[((head * width + c) * 3 + part) * pixels + pixel]
        };
        let mut attended = vec![0.0; heads * width * pixels];
        for head in 0..heads {
            for q in 0..pixels {
                let logit =
                    |k| (0..width).map(|c| at(head, c, 0, q) * at(head, c, 1, k)).sum::<f64>();
                let weights: Vec<f64> =
                    (0..pixels).map(|k| (logit(k) / (width as f64).sqrt()).exp()).collect();
                let total: f64 = weights.iter().sum();
                for c in 0..width {
                    attended[(head * width + c) * pixels + q] =
                        (0..pixels).map(|k| weights[k] / total * at(head, c, 2, k)).sum();
                }
            }
        }
        attended
    }

    #[test]
    fn attention_is_its_formula() {
        let (heads, width, pixels) = (2, 3, 6);
        let qkv = Noise::new(8).normal(&[1, 18, 2, 3]);
        let found = attend(&qkv, heads);
        assert_eq!(found.size(), [1, 6, 2, 3]);
        let expected = attend_by_hand(&qkv, heads as usize, width, pixels);
        let expected = Tensor::from_slice(&expected).view([1, 6, 2, 3]);
        let error = (found - expected).abs().max().double_value(&[]);
        assert!(error < 1e-6, "{error}");
    }
}
