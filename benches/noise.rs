//! Throughput of the noise source, which draws on the CPU whatever the device.
//!
//! | id | values | that is |
//! |---|---|---|
//! | `noise/normal/196608` | 196,608 standard normal values | a batch of 64 images of 3 × 32 × 32 |
//! | `noise/uniform/196608` | as many uniform ones | a dropout mask of that size |

use criterion::{Criterion, Throughput};
use fewstep::prelude::*;
use std::time::Duration;

const SHAPE: [i64; 4] = [64, 3, 32, 32];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let count: i64 = SHAPE.iter().product();
    let mut noise = Noise::new(0);
    let mut group = criterion.benchmark_group("noise");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(format!("normal/{count}"), |b| b.iter(|| noise.normal(&SHAPE)));
    group.bench_function(format!("uniform/{count}"), |b| b.iter(|| noise.uniform(&SHAPE)));
    group.finish();
    criterion.final_summary();
}
