//! Images per second that the loader delivers.
//!
//! | id | source | batches made |
//! |---|---|---|
//! | `loader/shapes/16x16/b64/ahead0` | pictures drawn on the fly | when asked for, in the caller's thread |
//! | `loader/in-memory/32x32/b64/ahead0` | decoded pictures | likewise |
//! | `loader/in-memory/32x32/b64/ahead2` | decoded pictures | two ahead, in a thread of their own |

use criterion::{Criterion, Throughput};
use fewstep::datasets::{ImageSource, InMemory, Loader, Shapes};
use fewstep::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const BATCH: usize = 64;
const N_IMAGES: usize = 4096;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let drawn = Arc::new(Shapes::new(16, N_IMAGES, 0));
    let decoded = InMemory::decode(&Shapes::new(32, N_IMAGES, 0)).expect("pictures are drawn");
    let decoded: Arc<dyn ImageSource> = Arc::new(decoded);
    loader(&mut criterion, "shapes/16x16", drawn, 0);
    loader(&mut criterion, "in-memory/32x32", decoded.clone(), 0);
    loader(&mut criterion, "in-memory/32x32", decoded, 2);
    criterion.final_summary();
}

fn loader(criterion: &mut Criterion, name: &str, source: Arc<dyn ImageSource>, ahead: usize) {
    let mut loader = Loader::new(source, 0).expect("there are pictures").with_prefetch(ahead);
    let mut group = criterion.benchmark_group("loader");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(format!("{name}/b{BATCH}/ahead{ahead}"), |bencher| {
        bencher.iter(|| loader.next_batch(BATCH).expect("pictures can be read"));
    });
    group.finish();
}
