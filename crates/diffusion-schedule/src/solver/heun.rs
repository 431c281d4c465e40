//! The second-order step.

use super::{Solver, slope};
use diffusion_core::{Cond, Denoiser, shape};
use tch::Tensor;

/// Heun's step: an [`Euler`](crate::Euler) step, then the mean of the slopes at both ends. Two evaluations, error of
/// second order.
///
/// ```text
/// x_e = x + (to - from) s,              s  = (x - D(x; from)) / from
/// x'  = x + (to - from) (s + s') / 2,   s' = (x_e - D(x_e; to)) / to
/// ```
///
/// The slope at level 0 does not exist: images with `to = 0` keep the Euler result, decided on the device.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, Algorithm 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Heun;

impl Solver for Heun {
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
        let start = slope(d, x, &from, cond);
        let euler = x + &width * &start;
        let at_zero = to.eq(0.0);
        let end = slope(d, &euler, &from.where_self(&at_zero, &to), cond);
        let heun = x + width * (start + end) * 0.5;
        euler.where_self(&shape::per_image(&at_zero, x), &heun)
    }

    fn nfe(&self) -> usize {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Euler;
    use tch::{Device, Kind};

    /// Refuses level 0, as networks with a logarithm inside do.
    struct Half;
    impl Denoiser for Half {
        fn denoise(&self, x: &Tensor, sigma: &Tensor, _cond: &Cond) -> Tensor {
            assert!(sigma.min().double_value(&[]) > 0.0);
            x * 0.5
        }
    }

    #[test]
    fn images_that_end_at_zero_take_the_euler_result() {
        let x = Tensor::ones([2, 1, 2, 1], (Kind::Double, Device::Cpu)) * 8.0;
        let (from, to) = (Tensor::from_slice(&[2.0, 4.0]), Tensor::from_slice(&[0.0, 1.0]));
        let heun = Heun.step(&Half, &x, &from, &to, &Cond::none());
        let euler = Euler.step(&Half, &x, &from, &to, &Cond::none());
        assert_eq!(heun.get(0), euler.get(0));
        // slope 1 at level 4, Euler value 5, slope 2.5 at level 1: 8 - 3 * 1.75
        assert_eq!(heun.double_value(&[1, 0, 1, 0]), 2.75);
    }

    #[test]
    fn the_kind_of_the_state_is_kept() {
        let x = Tensor::ones([1, 1, 1, 1], (Kind::Float, Device::Cpu));
        let (from, to) = (Tensor::from_slice(&[2.0f64]), Tensor::from_slice(&[1.0f64]));
        assert_eq!(Heun.step(&Half, &x, &from, &to, &Cond::none()).kind(), Kind::Float);
    }

    #[test]
    #[should_panic(expected = "one value per image")]
    fn a_level_for_the_whole_batch_is_refused() {
        let x = Tensor::ones([2, 1, 1, 1], (Kind::Float, Device::Cpu));
        let level = Tensor::from_slice(&[2.0f32]);
        let _ = Heun.step(&Half, &x, &level, &level, &Cond::none());
    }
}
