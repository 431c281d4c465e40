//! Balls around samples that stand for the set they come from.

use crate::Result;
use crate::neighbors::squared_radii;
use crate::screened::Screened;
use std::fmt;
use tch::{Device, Kind, Tensor};

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

/// Around which set the balls are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Centers {
    /// The real samples; the others are looked for in them.
    Real,
    /// The others; the real samples are looked for in them.
    Others,
}

/// A ball around each sample of one set, that reaches to its `k`-th neighbor of the same set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balls {
    pub(crate) centers: Centers,
    pub(crate) k: i64,
    pub(crate) boundary: Boundary,
}

/// Which samples of the other set are in which balls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Occupancy {
    /// The share of samples that lie in at least one ball.
    pub(crate) covered: f64,
    /// The mean number of balls a sample lies in.
    pub(crate) balls: f64,
    /// The share of balls with at least one sample in them.
    pub(crate) occupied: f64,
}

/// Looks `real` samples up in the balls around `others` and the reverse, all `families` in one pass over the pairs.
///
/// Every comparison is that of distances in f64, summed from differences of coordinates.
pub(crate) fn occupancy(
    real: &Tensor,
    others: &Tensor,
    families: &[Balls],
) -> Result<Vec<Occupancy>> {
    let pairs = Screened::new(others, real)?;
    let mut counts = Vec::new();
    for (centers, around, samples) in
        [(Centers::Real, real, others), (Centers::Others, others, real)]
    {
        let mine = |(_, balls): &(usize, Balls)| balls.centers == centers;
        let mine: Vec<_> = families.iter().copied().enumerate().filter(mine).collect();
        let ks: Vec<i64> = mine.iter().map(|(_, balls)| balls.k).collect();
        let radii = squared_radii(around, &ks)?;
        for ((place, balls), radii) in mine.into_iter().zip(radii) {
            counts.push((place, Count::new(balls, &pairs, radii, samples.size()[0])));
        }
    }
    for (start, distances) in pairs.blocks() {
        for (_, count) in &mut counts {
            count.take_in(&pairs, start, &distances);
        }
    }
    counts.sort_unstable_by_key(|&(place, _)| place);
    Ok(counts.into_iter().map(|(_, count)| count.finish()).collect())
}

/// What is known of one family after some rows of the others.
struct Count {
    balls: Balls,
    /// By center, in f64, and in the unit of the estimates.
    radii: Tensor,
    scaled: Tensor,
    /// By sample: whether it is in a ball. By center: whether a sample is in its ball.
    covered: Tensor,
    occupied: Tensor,
    inside: f64,
}

impl Count {
    fn new(balls: Balls, pairs: &Screened, radii: Tensor, samples: i64) -> Self {
        let none = |n| Tensor::zeros([n], (Kind::Bool, Device::Cpu));
        let (covered, occupied) = (none(samples), none(radii.size()[0]));
        Self { balls, scaled: pairs.scaled(&radii), radii, covered, occupied, inside: 0.0 }
    }

    /// Rows are others from `start` on, columns are real samples.
    fn take_in(&mut self, pairs: &Screened, start: i64, distances: &Tensor) {
        let rows = distances.size()[0];
        let own = |by_other: &Tensor| by_other.narrow(0, start, rows);
        let beyond = match self.balls.centers {
            Centers::Real => distances - &self.scaled,
            Centers::Others => distances - own(&self.scaled).unsqueeze(1),
        };
        let mut inside = beyond.lt(-pairs.bound());
        let close = beyond.le(pairs.bound()).logical_xor(&inside).nonzero();
        if close.size()[0] > 0 {
            let (row, column) = (close.select(1, 0), close.select(1, 1));
            let other = &row + start;
            let center = if self.balls.centers == Centers::Real { &column } else { &other };
            let radii = self.radii.index_select(0, center);
            let exact = self.balls.boundary.holds(&pairs.exact(&other, &column), &radii);
            let _ = inside.index_put_(&[Some(&row), Some(&column)], &exact, false);
        }
        let (by_other, by_real) = match self.balls.centers {
            Centers::Real => (&self.covered, &self.occupied),
            Centers::Others => (&self.occupied, &self.covered),
        };
        let _ = own(by_other).logical_or_(&inside.any_dim(1, false));
        let _ = by_real.shallow_clone().logical_or_(&inside.any_dim(0, false));
        // Exact, since a block has less than 2²⁴ entries, and much quicker than counting integers.
        self.inside += inside.to_kind(Kind::Float).sum(Kind::Float).double_value(&[]);
    }

    fn finish(self) -> Occupancy {
        let share = |of: &Tensor| of.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        Occupancy {
            covered: share(&self.covered),
            balls: self.inside / self.covered.size()[0] as f64,
            occupied: share(&self.occupied),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbor_radii;
    use diffusion_core::Noise;

    fn of(real: &Tensor, others: &Tensor, centers: Centers, boundary: Boundary) -> Occupancy {
        occupancy(real, others, &[Balls { centers, k: 1, boundary }]).unwrap()[0]
    }

    #[test]
    fn the_boundary_decides_about_equal_distances() {
        let samples = Tensor::from_slice(&[0.0, 1.0, 2.0]).view([3, 1]); // radius 1 each
        let probes = Tensor::from_slice(&[-1.0, 3.5]).view([2, 1]);
        let third = 1.0 / 3.0;
        for [real, others, centers] in [[0, 1, 0], [1, 0, 1]] {
            let sets = [&samples, &probes];
            let centers = [Centers::Real, Centers::Others][centers];
            let found = of(sets[real], sets[others], centers, Boundary::Inside);
            assert_eq!(found, Occupancy { covered: 0.5, balls: 0.5, occupied: third });
            let found = of(sets[real], sets[others], centers, Boundary::Outside);
            assert_eq!(found, Occupancy { covered: 0.0, balls: 0.0, occupied: 0.0 });
        }
    }

    #[test]
    fn estimates_never_decide_what_they_cannot() {
        // Distances that differ by less than f32 can tell, on a grid, where many are equal.
        let mut noise = Noise::new(1);
        let grid =
            |noise: &mut Noise| (noise.uniform(&[60, 3]) * 4.0).floor().to_kind(Kind::Double);
        let x = grid(&mut noise) + noise.normal_f64(&[60, 3]) * 1e-9;
        let y = Tensor::cat(&[grid(&mut noise), x.narrow(0, 0, 9)], 0);
        let exact = |a: &Tensor, b: &Tensor| {
            (a.unsqueeze(1) - b.unsqueeze(0)).square().sum_dim_intlist(2, false, Kind::Double)
        };
        let radii = exact(&x, &x).sort(1, false).0.select(1, 3);
        assert_eq!(neighbor_radii(&x, 3).unwrap(), radii.sqrt());
        for boundary in [Boundary::Inside, Boundary::Outside] {
            let inside = boundary.holds(&exact(&y, &x), &radii);
            let share = |of: Tensor| of.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
            let expected = Occupancy {
                covered: share(inside.any_dim(1, false)),
                balls: inside.sum(Kind::Double).double_value(&[]) / 69.0,
                occupied: share(inside.any_dim(0, false)),
            };
            let real = Balls { centers: Centers::Real, k: 3, boundary };
            let others = Balls { centers: Centers::Others, ..real };
            assert_eq!(occupancy(&x, &y, &[real]).unwrap(), [expected]);
            assert_eq!(occupancy(&y, &x, &[real, others]).unwrap()[1], expected);
        }
    }
}
