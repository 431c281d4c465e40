//! Latency of one denoiser evaluation, without gradients: what a sampling step costs.
//!
//! | network | images | batch | precision | dominated by |
//! |---|---|---|---|---|
//! | `song-unet` c16, 0.2 M parameters | 16 × 16 | 1, 2 | f32, bf16 | overhead of operations |
//! | `song-unet` c32, 1.8 M parameters | 32 × 32 | 1, 16 | f32, bf16 | arithmetic |
//! | `song-unet` c128, 55.7 M parameters (EDM's for CIFAR-10) | 32 × 32 | 1 | f32, bf16 | arithmetic |
//!
//! `cargo bench --bench denoiser`; a part of an id selects, such as `-- b16/bf16`. Ids end with the device.

mod network;
#[path = "network/small.rs"]
mod small;

use criterion::Criterion;
use fewstep::libtorch_ext::Autocast;
use fewstep::prelude::*;
use network::{build, classes, size, synchronize, tiny};
use small::small;
use std::cell::LazyCell;
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let device = device::parse("auto").expect("`auto` is always a device");
    forward(&mut criterion, &tiny(), &[1, 2], device);
    forward(&mut criterion, &small(10), &[1, 16], device);
    // Half a second for an evaluation on two cores: as few samples as criterion takes.
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    forward(&mut criterion, &SongUnetConfig::cifar10(0), &[1], device);
    criterion.final_summary();
}

/// `forward/song-unet/SIZE/PRECISION/DEVICE` for every batch and precision.
fn forward(criterion: &mut Criterion, config: &SongUnetConfig, batches: &[i64], device: Device) {
    let mut group = criterion.benchmark_group("forward/song-unet");
    // Built when the first id that is wanted needs it.
    let network = LazyCell::new(|| build(config, device));
    let _no_grad = tch::no_grad_guard();
    for &batch in batches {
        let side = config.img_resolution;
        let x = Noise::new(1).on(device).normal(&[batch, config.img_channels, side, side]);
        let sigma = Tensor::full([batch], 1.0, (Kind::Float, device));
        let cond = classes(config, batch, device);
        for (precision, bf16) in [("f32", false), ("bf16", true)] {
            let id = format!("{}/{precision}/{device:?}", size(config, batch)).to_lowercase();
            group.bench_function(id, |bencher| {
                let network = &*network;
                bencher.iter(|| {
                    // As in training, every evaluation casts the weights anew.
                    let _autocast = bf16.then(|| Autocast::bf16(device));
                    let denoised = network.denoise(&x, &sigma, &cond);
                    synchronize(device);
                    denoised
                });
            });
        }
    }
    group.finish();
}
