//! What samplers and solvers add to the network evaluations they ask for.
//!
//! | id | network evaluations | per evaluation beyond `forward` |
//! |---|---|---|
//! | `sampler/forward` | 1 | the network alone |
//! | `sampler/one-step` | 1 | scaling of the latents |
//! | `sampler/euler-step` | 1 | one update in `f64` |
//! | `sampler/heun-step` | 2 | two updates in `f64` |
//! | `sampler/edm-18-steps` | 35 | grid, updates in `f64`, casts |
//!
//! All on the quickstart's network, 16 × 16, 16 channels, batch 2, where overhead shows; ids end with size and device.

mod network;

use criterion::Criterion;
use fewstep::diffusion_schedule::{Euler, Heun, Solver};
use fewstep::prelude::*;
use network::{build, classes, size, synchronize, tiny};
use std::time::Duration;

const BATCH: i64 = 2;
/// Levels of the single solver steps, somewhere in the middle of a grid.
const FROM_TO: [f64; 2] = [1.0, 0.5];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    samplers(&mut criterion);
    criterion.final_summary();
}

fn samplers(criterion: &mut Criterion) {
    let device = device::parse("auto").expect("`auto` is always a device");
    let config = tiny();
    let network = build(&config, device);
    let cond = classes(&config, BATCH, device);
    let side = config.img_resolution;
    let mut noise = Noise::new(1).on(device);
    let z = noise.normal(&[BATCH, config.img_channels, side, side]);
    let z64 = z.to_kind(Kind::Double);
    let level = |sigma: f64, kind| Tensor::full([BATCH], sigma, (kind, device));
    let sigma = level(FROM_TO[0], Kind::Float);
    let [from, to] = FROM_TO.map(|sigma| level(sigma, Kind::Double));
    let one_step = Sampling::new(&network, OneStep { sigma: 2.5 });
    let edm = Sampling::new(&network, EdmSampler::default());

    let _no_grad = tch::no_grad_guard();
    let mut group = criterion.benchmark_group("sampler");
    let mut bench = |name: &str, work: &mut dyn FnMut() -> Tensor| {
        let id = format!("{name}/{}/{device:?}", size(&config, BATCH)).to_lowercase();
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let result = work();
                synchronize(device);
                result
            });
        });
    };
    bench("forward", &mut || network.denoise(&z, &sigma, &cond));
    bench("one-step", &mut || one_step.generate(&z, &cond, &mut noise));
    bench("euler-step", &mut || Euler.step(&network, &z64, &from, &to, &cond));
    bench("heun-step", &mut || Heun.step(&network, &z64, &from, &to, &cond));
    bench("edm-18-steps", &mut || edm.generate(&z, &cond, &mut noise));
    group.finish();
}
