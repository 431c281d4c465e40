//! Distances to nearest neighbors.

use crate::screened::Screened;
use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

/// Neighbors that are looked at beyond those that are asked for, before more are.
const SPARE: i64 = 8;

/// The distance of every sample, `[N, D]`, to its `k`-th nearest neighbor, itself excluded: `[N]`, f64.
///
/// A sample that exists `k + 1` times has radius 0.
///
/// # Errors
/// - [`Error::NotPositive`] for `k < 1`, [`Error::TooFew`] for `k` samples or fewer;
/// - [`Error::NotFeatures`], [`Error::NonFiniteFeatures`] for unusable samples.
///
/// # Example
/// ```
/// let line = tch::Tensor::from_slice(&[0.0, 1.0, 3.0, 7.0]).view([4, 1]);
/// let radii = metrics::neighbor_radii(&line, 2)?;
/// assert_eq!(Vec::<f64>::try_from(radii).unwrap(), [3.0, 2.0, 3.0, 6.0]);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn neighbor_radii(samples: &Tensor, k: i64) -> Result<Tensor> {
    Ok(squared_radii(samples, &[k])?.remove(0).sqrt())
}

/// The squared radii for each `k`, from one pass over the pairs.
pub(crate) fn squared_radii(samples: &Tensor, ks: &[i64]) -> Result<Vec<Tensor>> {
    let Some(&most) = ks.iter().max() else { return Ok(Vec::new()) };
    if let Some(&value) = ks.iter().find(|&&k| k < 1) {
        return Err(Error::NotPositive { what: "k", value });
    }
    let pairs = Screened::new(samples, samples)?;
    let found = samples.size()[0];
    if found <= most {
        return Err(Error::TooFew { found, needed: most + 1 });
    }
    // The nearest of all is the sample itself, at distance 0.
    let nearest = pairs.blocks().map(|(start, block)| nearest(&pairs, start, &block, most + 1));
    let nearest = Tensor::cat(&nearest.collect::<Vec<_>>(), 0);
    Ok(ks.iter().map(|&k| nearest.select(1, k).contiguous()).collect())
}

/// The exact `n` smallest distances of each row of a block of estimates, `[B, n]`, in order.
fn nearest(pairs: &Screened, start: i64, estimates: &Tensor, n: i64) -> Tensor {
    let (rows, columns) = (estimates.size()[0], estimates.size()[1]);
    let mut taken = (n + SPARE).min(columns);
    let candidates = loop {
        let (nearest, indices) = estimates.topk(taken, 1, false, true);
        // Whoever is nearer than the last wanted is estimated at most two bounds beyond its estimate.
        let margin = nearest.select(1, taken - 1) - nearest.select(1, n - 1);
        if taken == columns || margin.min().double_value(&[]) > 2.0 * pairs.bound() {
            break indices;
        }
        taken = (2 * taken).min(columns);
    };
    let row = Tensor::arange_start(start, start + rows, (Kind::Int64, Device::Cpu));
    let row = row.unsqueeze(1).expand_as(&candidates).reshape(-1);
    let exact = pairs.exact(&row, &candidates.reshape(-1)).view([rows, taken]);
    exact.sort(1, false).0.narrow(1, 0, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion_core::Noise;

    #[test]
    fn copies_have_no_radius() {
        let x = Noise::new(2).normal(&[1, 5]).repeat([30, 1]);
        let radii = neighbor_radii(&x, 4).unwrap();
        assert_eq!(radii.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn too_few_samples_are_refused() {
        let samples = Tensor::from_slice(&[0.0, 1.0, 2.0]).view([3, 1]);
        let error = neighbor_radii(&samples, 3).unwrap_err();
        assert!(matches!(error, Error::TooFew { found: 3, needed: 4 }));
        let error = neighbor_radii(&samples, 0).unwrap_err();
        assert!(matches!(error, Error::NotPositive { what: "k", value: 0 }));
    }
}
