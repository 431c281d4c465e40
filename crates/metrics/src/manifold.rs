//! Balls around samples that stand for the set they come from.

use crate::pairwise::Pairs;
use crate::{Error, Result};
use std::fmt;
use tch::{Kind, Tensor};

/// Whether a sample on the surface of a ball is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// It is (`<=`): the paper's code, StyleGAN, torch-fidelity, the ADM evaluator.
    Inside,
    /// It is not (`<`): the package `prdc`, dgm-eval.
    Outside,
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inside => "distance <= radius",
            Self::Outside => "distance < radius",
        })
    }
}

impl Boundary {
    fn holds(self, squared_distances: &Tensor, squared_radii: &Tensor) -> Tensor {
        match self {
            Self::Inside => squared_distances.le_tensor(squared_radii),
            Self::Outside => squared_distances.lt_tensor(squared_radii),
        }
    }
}

/// Samples with the squared distance to the `k`-th nearest neighbor of each.
#[derive(Debug)]
pub(crate) struct Manifold {
    samples: Tensor,
    squared_radii: Tensor,
}

impl Manifold {
    pub(crate) fn new(samples: &Tensor, k: i64) -> Result<Self> {
        Ok(Self { squared_radii: squared_radii(samples, k)?, samples: samples.shallow_clone() })
    }

    /// The share of `probes` that lie in at least one ball, and the mean number of balls they lie in.
    pub(crate) fn cover(&self, probes: &Tensor, boundary: Boundary) -> Result<(f64, f64)> {
        let (mut covered, mut balls) = (0.0, 0.0);
        for distances in Pairs::new(probes, &self.samples)?.squared_distances() {
            let inside = boundary.holds(&distances, &self.squared_radii);
            covered += inside.any_dim(1, false).sum(Kind::Double).double_value(&[]);
            balls += inside.sum(Kind::Double).double_value(&[]);
        }
        let n = probes.size()[0] as f64;
        Ok((covered / n, balls / n))
    }

    /// The share of balls with at least one of the `probes` in them.
    pub(crate) fn occupied(&self, probes: &Tensor, boundary: Boundary) -> Result<f64> {
        let pairs = Pairs::new(&self.samples, probes)?;
        let nearest = pairs.squared_distances().map(|distances| distances.amin(1, false));
        let nearest = Tensor::cat(&nearest.collect::<Vec<_>>(), 0);
        let occupied = boundary.holds(&nearest, &self.squared_radii);
        Ok(occupied.mean(Kind::Double).double_value(&[]))
    }
}

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
    Ok(squared_radii(samples, k)?.sqrt())
}

fn squared_radii(samples: &Tensor, k: i64) -> Result<Tensor> {
    if k < 1 {
        return Err(Error::NotPositive { what: "k", value: k });
    }
    let pairs = Pairs::new(samples, samples)?;
    let found = samples.size()[0];
    if found <= k {
        return Err(Error::TooFew { found, needed: k + 1 });
    }
    // The nearest of all is the sample itself, at distance 0.
    let radii = pairs.squared_distances().map(|block| block.kthvalue(k + 1, 1, false).0);
    Ok(Tensor::cat(&radii.collect::<Vec<_>>(), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_decides_about_equal_distances() {
        let samples = Tensor::from_slice(&[0.0, 1.0, 2.0]).view([3, 1]);
        let manifold = Manifold::new(&samples, 1).unwrap(); // radius 1 each
        let probes = Tensor::from_slice(&[-1.0, 3.5]).view([2, 1]);
        assert_eq!(manifold.cover(&probes, Boundary::Inside).unwrap(), (0.5, 0.5));
        assert_eq!(manifold.cover(&probes, Boundary::Outside).unwrap(), (0.0, 0.0));
        assert_eq!(manifold.occupied(&probes, Boundary::Inside).unwrap(), 1.0 / 3.0);
        assert_eq!(manifold.occupied(&probes, Boundary::Outside).unwrap(), 0.0);
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
