//! Iterating a function to where it stands still.

use diffusion_core::shape;
use tch::{Kind, Tensor};

/// Plain fixed-point iteration that keeps the best state.
///
/// ```text
/// z_{k+1} = f(z_k),  r_k = ‖f(z_k) - z_k‖₂ for each image
/// ```
///
/// The answer is, for each image by itself, the `f(z_k)` of the smallest `r_k`: an iteration that does not contract
/// gives its first state, not its last.
///
/// # Source
/// Official `torchdeq`, `fixed_point_iter` with absolute residuals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedPoint {
    /// At most so many evaluations of `f`.
    pub iterations: usize,
    /// Ends once the largest residual of the batch is below this. Looking at it waits for the device, once an
    /// iteration; with 0 nothing is looked at.
    pub tolerance: f64,
}

impl Default for FixedPoint {
    /// As published samples are made: 6 iterations, 10⁻³.
    fn default() -> Self {
        Self { iterations: 6, tolerance: 1e-3 }
    }
}

/// Where a fixed-point iteration came to.
#[derive(Debug)]
pub struct Solution {
    /// The best state of each image, `[B, …]`.
    pub state: Tensor,
    /// The residuals of each iteration, `[B]` each.
    pub residuals: Vec<Tensor>,
}

impl FixedPoint {
    /// Iterates `f` from `start`, `[B, …]`; without iterations the answer is `start`.
    pub fn solve(self, f: impl Fn(&Tensor) -> Tensor, start: &Tensor) -> Solution {
        let mut z = start.shallow_clone();
        let mut best: Option<(Tensor, Tensor)> = None;
        let mut residuals = Vec::with_capacity(self.iterations);
        for _ in 0..self.iterations {
            let next = f(&z);
            let residual = (&next - &z).flatten(1, -1).norm_scalaropt_dim(2.0, [1], false);
            best = Some(match best {
                None => (next.shallow_clone(), residual.shallow_clone()),
                Some((state, least)) => {
                    let better = shape::per_image(&residual.lt_tensor(&least), &next);
                    (next.where_self(&better, &state), residual.minimum(&least))
                }
            });
            let largest = (self.tolerance > 0.0).then(|| residual.max().double_value(&[]));
            residuals.push(residual.to_kind(Kind::Float));
            z = next;
            if largest.is_some_and(|largest| largest < self.tolerance) {
                break;
            }
        }
        let state = best.map_or(z, |(state, _)| state);
        Solution { state, residuals }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Tensor {
        Tensor::from_slice(&[8f64, 1.0]).view([2, 1])
    }

    #[test]
    fn a_contraction_is_followed_until_it_stands_still() {
        let solver = FixedPoint { iterations: 100, tolerance: 1e-6 };
        let solution = solver.solve(|z| z * 0.5 + 1.0, &start());
        assert!((solution.state - 2.0).abs().max().double_value(&[]) < 1e-6);
        assert_eq!(solution.residuals.len(), 23); // 3 · 2^-k < 1e-6 from k = 22 on
    }

    #[test]
    fn what_runs_away_keeps_its_first_state() {
        let solution = FixedPoint::default().solve(|z| z * 2.0, &start());
        assert_eq!(solution.state, start() * 2.0);
        assert_eq!(solution.residuals.len(), 6);
    }

    #[test]
    fn every_image_has_its_own_best() {
        // the first image contracts, the second runs away
        let rates = Tensor::from_slice(&[0.5f64, 2.0]).view([2, 1]);
        let solver = FixedPoint { iterations: 3, tolerance: 0.0 };
        let solution = solver.solve(|z| z * &rates, &start());
        assert_eq!(Vec::<f64>::try_from(solution.state.view(-1)).unwrap(), [1.0, 2.0]);
    }
}
