//! What the libtorch in use can do on this machine: `cargo xtask doctor` runs it.
//!
//! Prints where libtorch is, how the processor computes in bf16, whether CUDA, cuDNN and CUDA graphs can be used and if
//! not why, and times a matrix product on every device, checking its result. Exits with 1 if a device computes wrongly.
//!
//! ```sh
//! cargo run --release --package libtorch-ext --example doctor
//! ```
#![allow(clippy::print_stdout)]

use libtorch_ext::cuda::MemoryStats;
use libtorch_ext::process::{self, CpuBf16};
use libtorch_ext::{Autocast, cuda};
use std::process::ExitCode;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

fn main() -> ExitCode {
    // Before anything else asks libtorch for CUDA.
    let status = cuda::status();
    let folder = cuda::libtorch_folder()
        .map_or("an unknown folder".into(), |path| path.display().to_string());
    println!("loaded     libtorch from {folder}");
    println!("threads    {} per operation on the CPU", tch::get_num_threads());
    println!("CPU bf16   {}", bf16_name(process::cpu_bf16()));
    println!("CUDA       {status}");
    if let (Some(runtime), Some(cudnn)) = (cuda::runtime_version(), cuda::cudnn_version()) {
        println!(
            "           run time {}.{}, cuDNN {}",
            runtime / 1000,
            runtime % 1000 / 10,
            cudnn_name(cudnn)
        );
        match cuda::graphs_supported() {
            Ok(()) => println!("           CUDA graphs can be recorded"),
            Err(error) => println!("           no CUDA graphs: {error}"),
        }
    }
    let devices = std::iter::once((Device::Cpu, 1024))
        .chain((0..cuda::device_count()).map(|index| (Device::Cuda(index), 8192)));
    let mut all_well = true;
    for (device, size) in devices {
        let [f32, bf16] = [matmul(device, size, false), matmul(device, size, true)];
        println!("{:<10} matmul {size}³: f32 {f32}; bf16 {bf16}", name(device));
        if let Ok(memory) = MemoryStats::of(device) {
            let [peak, free, total] = [memory.allocated_peak, memory.free, memory.total].map(gib);
            println!(
                "           memory {total:.1} GiB, {free:.1} GiB free, {peak:.1} GiB used here"
            );
        }
        all_well &= f32.right && bf16.right;
    }
    if let Some(peak) = process::peak_rss() {
        println!("memory     {:.2} GiB of the process at most", peak as f64 / GIB);
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".into(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}"),
    }
}

fn bf16_name(support: CpuBf16) -> &'static str {
    match support {
        CpuBf16::Tiles => "fast (amx_bf16)",
        CpuBf16::Vectors => "fast (avx512_bf16)",
        _ => "slow: the processor has no instructions for it, prefer f32",
    }
}

const GIB: f64 = (1u64 << 30) as f64;

fn gib(bytes: i64) -> f64 {
    bytes as f64 / GIB
}

/// 91900 as 9.19.0.
fn cudnn_name(version: i64) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

/// A timed and checked matrix product.
struct Measured {
    seconds: f64,
    flops: f64,
    right: bool,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ms ({:.0} GFLOP/s)", self.seconds * 1e3, self.flops / self.seconds / 1e9)?;
        if self.right { Ok(()) } else { write!(f, " WRONG RESULT: check the driver and libtorch") }
    }
}

/// The best of five products of two square matrices of ones, whose elements are all `size`.
fn matmul(device: Device, size: i64, bf16: bool) -> Measured {
    let ones = Tensor::ones([size, size], (Kind::Float, device));
    let _autocast = bf16.then(|| Autocast::bf16(device));
    let mut seconds = f64::INFINITY;
    let mut product = ones.matmul(&ones);
    for _ in 0..5 {
        synchronize(device);
        let start = Instant::now();
        product = ones.matmul(&ones);
        synchronize(device);
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    let [low, high] = [product.min(), product.max()].map(|value| value.double_value(&[]));
    let right = low == size as f64 && high == size as f64;
    Measured { seconds, flops: 2.0 * (size as f64).powi(3), right }
}

/// Waits for the device, where there is something to wait for.
fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(i64::try_from(index).expect("device numbers are small"));
    }
}
