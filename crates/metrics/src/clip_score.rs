//! How well images fit their texts.

use crate::gaussian_stats::common_dim;
use crate::sliced_wasserstein::checked;
use crate::{Error, Result};
use tch::{Kind, Tensor};

/// The CLIP score: the mean cosine between the embeddings of images and those of the texts they were made for.
///
/// Row `i` of one belongs to row `i` of the other; lengths do not matter. Values depend on the model, which a recipe must
/// name. torchmetrics reports a hundred times this, and 0 for values below.
///
/// # Shapes
/// Both `[N, D]`. Computed in f64 on the CPU.
///
/// # Errors
/// - [`Error::Pairs`] for different numbers of rows, [`Error::Dimension`] for different lengths;
/// - [`Error::NotFeatures`], [`Error::NonFiniteFeatures`], [`Error::TooFew`] for unusable embeddings;
/// - [`Error::ZeroVector`] for an embedding without a direction.
///
/// # Source
/// Hessel et al. 2021, arXiv:2104.08718, without its weight of 2.5 and its clipping.
///
/// # Example
/// ```
/// use tch::Tensor;
/// let images = Tensor::from_slice(&[3.0, 4.0, 1.0, 0.0]).view([2, 2]);
/// let texts = Tensor::from_slice(&[1.0, 0.0, 2.0, 0.0]).view([2, 2]);
/// assert!((metrics::clip_score(&images, &texts)? - (0.6 + 1.0) / 2.0).abs() < 1e-15);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn clip_score(images: &Tensor, texts: &Tensor) -> Result<f64> {
    let (images, texts) = (unit_rows(images)?, unit_rows(texts)?);
    let (n, m) = (images.size()[0], texts.size()[0]);
    if n != m {
        return Err(Error::Pairs { images: n, texts: m });
    }
    common_dim(&images, &texts)?;
    Ok((images * texts).sum(Kind::Double).double_value(&[]) / n as f64)
}

fn unit_rows(vectors: &Tensor) -> Result<Tensor> {
    let vectors = checked(vectors)?;
    let length = vectors.square().sum_dim_intlist(1, true, Kind::Double).sqrt();
    if length.min().double_value(&[]) == 0.0 {
        return Err(Error::ZeroVector { row: length.argmin(0, false).int64_value(&[0]) });
    }
    Ok(vectors / length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    #[test]
    fn equal_and_opposite_embeddings_are_the_ends() {
        let x = Noise::new(1).normal_f64(&[20, 8]);
        assert!((clip_score(&x, &(&x * 3.0)).unwrap() - 1.0).abs() < 1e-14);
        assert!((clip_score(&x, &(&x * -0.5)).unwrap() + 1.0).abs() < 1e-14);
    }

    #[test]
    fn pairs_count_in_any_order_but_must_stay_pairs() {
        let mut noise = Noise::new(2);
        let (x, y) = (noise.normal_f64(&[20, 8]), noise.normal_f64(&[20, 8]));
        let score = clip_score(&x, &y).unwrap();
        assert!((clip_score(&x.flip([0]), &y.flip([0])).unwrap() - score).abs() < 1e-15);
        assert!((clip_score(&x, &y.flip([0])).unwrap() - score).abs() > 1e-6);
        assert!((clip_score(&y, &x).unwrap() - score).abs() < 1e-15);
    }

    #[test]
    fn embeddings_that_are_no_pairs_are_refused() {
        let x = Noise::new(3).normal_f64(&[5, 4]);
        let of = |texts: &Tensor| clip_score(&x, texts).unwrap_err();
        assert!(matches!(of(&x.narrow(0, 0, 4)), Error::Pairs { images: 5, texts: 4 }));
        assert!(matches!(of(&x.narrow(1, 0, 3)), Error::Dimension { expected: 4, found: 3 }));
        let zero = x.copy();
        let _ = zero.get(2).fill_(0.0);
        assert!(matches!(of(&zero), Error::ZeroVector { row: 2 }));
    }
}
