//! The first-order step.

use super::{Solver, slope};
use diffusion_core::{Cond, Denoiser, shape};
use tch::Tensor;

/// Euler's step: one evaluation, error of first order. To level 0 it gives the denoiser's answer.
///
/// ```text
/// x' = x + (to - from) (x - D(x; from)) / from
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Euler;

impl Solver for Euler {
    fn step(
        &self,
        d: &dyn Denoiser,
        x: &Tensor,
        from: &Tensor,
        to: &Tensor,
        cond: &Cond,
    ) -> Tensor {
        let [from, to] = [from, to].map(|sigma| sigma.to_kind(x.kind()));
        let width = shape::per_image(&(&to - &from), x);
        x + width * slope(d, x, &from, cond)
    }

    fn nfe(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    struct Half;
    impl Denoiser for Half {
        fn denoise(&self, x: &Tensor, _sigma: &Tensor, _cond: &Cond) -> Tensor {
            x * 0.5
        }
    }

    #[test]
    fn every_image_takes_its_own_step() {
        let x = Tensor::ones([3, 1, 1, 1], (Kind::Double, Device::Cpu)) * 8.0;
        let (from, to) =
            (Tensor::from_slice(&[2.0, 2.0, 4.0]), Tensor::from_slice(&[2.0, 0.0, 1.0]));
        let moved = Euler.step(&Half, &x, &from, &to, &Cond::none());
        assert_eq!(Vec::<f64>::try_from(moved.view(-1)).unwrap(), [8.0, 4.0, 5.0]);
    }
}
