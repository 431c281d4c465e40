//! Laws of solvers and samplers, measured on data whose exact flow is known.

use diffusion_core::{Cond, Denoiser, Noise};
use diffusion_schedule::{
    EdmSampler, Euler, Grid, Heun, KarrasGrid, OdeSampler, Sampler, Solver, Step,
};
use tch::{Device, Kind, Tensor};
use testkit::ExactGaussian;

const STEPS: [usize; 4] = [64, 128, 256, 512];

fn data() -> ExactGaussian {
    ExactGaussian {
        mean: Tensor::from_slice(&[0.3, -0.6, 0.0]),
        std: Tensor::from_slice(&[0.5, 0.2, 1.0]),
    }
}

fn latents() -> Tensor {
    Tensor::from_slice(&[0.9, -1.3, 0.4, -0.2, 0.7, 1.8]).view([2, 3])
}

/// The order of convergence: minus the slope of `ln(error)` over `ln(steps)`, by least squares.
fn order(error: impl Fn(usize) -> f64) -> f64 {
    let points: Vec<(f64, f64)> = STEPS.iter().map(|&n| ((n as f64).ln(), error(n).ln())).collect();
    let n = points.len() as f64;
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let covariance = mean(&|p| (p.0 - x) * (p.1 - y));
    -covariance / mean(&|p| (p.0 - x).powi(2))
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// The error of `steps` solver steps between two levels.
fn solver_error(solver: &dyn Solver, steps: usize) -> f64 {
    let (data, grid) = (data(), KarrasGrid { sigma_min: 0.05, sigma_max: 20.0, rho: 7.0 });
    let start = latents() * grid.sigma_max;
    let mut x = start.shallow_clone();
    for pair in grid.sigmas(steps + 1).windows(2) {
        let level = |sigma: f64| Tensor::full([2], sigma, (Kind::Double, Device::Cpu));
        x = solver.step(&data, &x, &level(pair[0]), &level(pair[1]), &Cond::none());
    }
    distance(&x, &data.flow(&start, grid.sigma_max, grid.sigma_min))
}

/// A grid so fine at its end that the last step, to 0, does not count.
const DEEP: KarrasGrid = KarrasGrid { sigma_min: 1e-7, sigma_max: 20.0, rho: 7.0 };

#[test]
fn euler_is_of_first_order() {
    let order = order(|steps| solver_error(&Euler, steps));
    assert!((order - 1.0).abs() < 0.15, "order {order}");
}

#[test]
fn heun_is_of_second_order() {
    let order = order(|steps| solver_error(&Heun, steps));
    assert!((order - 2.0).abs() < 0.15, "order {order}");
}

#[test]
fn the_edm_sampler_is_of_second_order() {
    let order = order(|steps| {
        let sampler = EdmSampler { steps, grid: DEEP, ..EdmSampler::default() };
        let mut no_noise = |_: &[i64]| unreachable!("without churn nothing is drawn");
        let (data, z) = (data(), latents());
        let x = sampler.sample_with(&data, &z, &Cond::none(), &mut no_noise, &mut |_| ());
        distance(&x, &data.flow(&(z * DEEP.sigma_max), DEEP.sigma_max, 0.0))
    });
    assert!((order - 2.0).abs() < 0.15, "order {order}");
}

#[test]
fn the_euler_sampler_is_of_first_order() {
    let order = order(|steps| {
        let sampler = OdeSampler { steps, grid: DEEP, solver: Euler };
        let (data, z) = (data(), latents());
        let x = sampler.solve(&data, &z, &Cond::none(), &mut |_| ());
        distance(&x, &data.flow(&(z * DEEP.sigma_max), DEEP.sigma_max, 0.0))
    });
    assert!((order - 1.0).abs() < 0.15, "order {order}");
}

#[test]
fn churn_keeps_mean_and_spread() {
    let data = ExactGaussian { mean: Tensor::from(0.3), std: Tensor::from(0.5) };
    let grid = KarrasGrid { sigma_max: 20.0, ..KarrasGrid::default() };
    let sampler = EdmSampler { steps: 40, grid, s_churn: 30.0, ..EdmSampler::default() };
    let mut noise = Noise::new(11);
    let z = noise.normal(&[10_000, 2]);
    let sample =
        |noise: &mut Noise| sampler.sample(&data, &z, &Cond::none(), noise, &mut |_: &Step<'_>| ());
    let x = sample(&mut noise);
    let (mean, std) = (x.mean(Kind::Double).double_value(&[]), x.std(true).double_value(&[]));
    assert_eq!(x.kind(), Kind::Float);
    assert!((mean - 0.3).abs() < 0.02, "mean {mean}"); // 5.7 standard errors
    assert!((std - 0.5).abs() < 0.02, "spread {std}");
    // The result depends on the fresh noise, hardly on where it started.
    let other = sample(&mut noise);
    assert!(distance(&x, &other) > 0.5);
}

#[test]
fn steps_to_lower_levels_do_not_mix_images() {
    let (data, x) = (data(), latents());
    let (from, to) = (Tensor::from_slice(&[2.0, 5.0]), Tensor::from_slice(&[1.5, 0.0]));
    let both = Heun.step(&data, &x, &from, &to, &Cond::none());
    for image in 0..2 {
        let one = |t: &Tensor| t.narrow(0, image, 1);
        let alone = Heun.step(&data, &one(&x), &one(&from), &one(&to), &Cond::none());
        assert_eq!(one(&both), alone);
    }
    let answer = data.denoise(&x.narrow(0, 1, 1), &from.narrow(0, 1, 1), &Cond::none());
    assert!(distance(&both.narrow(0, 1, 1), &answer) < 1e-12);
}
