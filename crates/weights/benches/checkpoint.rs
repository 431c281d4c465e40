//! How fast a checkpoint of 2 GiB is read, beside reading the file as it is.
//!
//! | id | what is read |
//! |---|---|
//! | `read/file` | the archive as one byte string, in pieces of 32 MiB |
//! | `read/torch_zip`, `read/safetensors` | open, then every tensor into one buffer of 32 MiB |
//! | `read/transposed` | the same archive, all tensors stored transposed |
//! | `open/torch_zip` | the structure alone |
//!
//! The files are in the page cache, unless the machine has too little memory for that.

#[path = "../tests/checkpoints/assemble.rs"]
#[expect(dead_code, reason = "only archives are made here")]
mod assemble;

use assemble::{Style, View};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use weights::{Dtype, TensorInfo, write_safetensors};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const TENSORS: usize = 64;
const SIDE: usize = 2896; // 2896² f32 elements are just below 32 MiB
const BYTES: usize = SIDE * SIDE * 4;

fn write_archive(path: &Path, stride: [i64; 2]) {
    let size = vec![SIDE as i64; 2];
    let view = View {
        name: String::new(),
        class: "FloatStorage",
        item: 4,
        size,
        stride: stride.into(),
        offset: 0,
        storage: vec![1; BYTES],
    };
    let tensors = (0..TENSORS).map(|key| assemble::tensor(&view, key, Style::Zip));
    let names: Vec<String> = (0..TENSORS).map(|key| format!("layer.{key}.weight")).collect();
    let pairs: Vec<_> = names.iter().map(|name| &**name).zip(tensors).collect();
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path).unwrap()));
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(&assemble::pickle(&assemble::dict(&pairs))).unwrap();
    for key in 0..TENSORS {
        zip.start_file(format!("archive/data/{key}"), stored).unwrap();
        zip.write_all(&view.storage).unwrap();
    }
    zip.finish().unwrap();
}

fn read_all(path: &Path, buffer: &mut [u8]) {
    let file = weights::open(path).unwrap();
    for tensor in file.tensors() {
        file.read_into(&tensor.name, buffer).unwrap();
        black_box(&buffer);
    }
}

fn checkpoint(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (zip, transposed, safetensors) = (place("a.pt"), place("t.pt"), place("a.safetensors"));
    write_archive(&zip, [SIDE as i64, 1]);
    let mut buffer = vec![0; BYTES];

    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).throughput(Throughput::Bytes((BYTES * TENSORS) as u64));
    group.bench_function("file", |bencher| {
        bencher.iter(|| {
            let mut file = File::open(&zip).unwrap();
            while file.read(&mut buffer).unwrap() > 0 {
                black_box(&buffer);
            }
        });
    });
    group.bench_function("torch_zip", |bencher| bencher.iter(|| read_all(&zip, &mut buffer)));
    group.finish();
    criterion.bench_function("open/torch_zip", |bencher| bencher.iter(|| weights::open(&zip)));
    std::fs::remove_file(&zip).unwrap();

    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).throughput(Throughput::Bytes((BYTES * TENSORS) as u64));
    let info = |key| {
        let name = format!("layer.{key}.weight");
        TensorInfo { name, dtype: Dtype::F32, shape: vec![SIDE, SIDE] }
    };
    let infos: Vec<_> = (0..TENSORS).map(info).collect();
    write_safetensors(&safetensors, &infos, &BTreeMap::new(), |_| Ok(vec![1; BYTES])).unwrap();
    group.bench_function("safetensors", |bencher| {
        bencher.iter(|| read_all(&safetensors, &mut buffer));
    });
    std::fs::remove_file(&safetensors).unwrap();
    write_archive(&transposed, [1, SIDE as i64]);
    group.bench_function("transposed", |bencher| {
        bencher.iter(|| read_all(&transposed, &mut buffer));
    });
    group.finish();
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
