//! How long a generator takes for an image.

use crate::{Error, Result};
use diffusion_core::{Cond, Generator, Noise};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};
use tch::{Cuda, Device};

/// Untimed calls before the first timed one: allocators, kernel selection, caches.
const WARM_UPS: usize = 2;

/// The time of a generator's calls, all of one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Where it ran: `cpu`, `cuda:0`.
    pub device: String,
    /// Images in a call.
    pub batch: i64,
    /// Number of timed calls.
    pub calls: usize,
    /// Median time of a call divided by the batch, in milliseconds.
    pub per_image_ms: f64,
    /// Median time of a call, in milliseconds.
    pub median_ms: f64,
    /// A tenth of the calls took at most this long, in milliseconds.
    pub p10_ms: f64,
    /// Nine tenths of the calls took at most this long, in milliseconds.
    pub p90_ms: f64,
}

impl Latency {
    /// Summarizes the durations of calls of `batch` images each.
    ///
    /// Percentiles are interpolated linearly.
    ///
    /// # Errors
    /// [`Error::TooFew`] without a call, [`Error::NotPositive`] for `batch < 1`.
    pub fn of_calls(device: Device, batch: i64, calls: &[Duration]) -> Result<Self> {
        if batch < 1 {
            return Err(Error::NotPositive { what: "batch", value: batch });
        }
        if calls.is_empty() {
            return Err(Error::TooFew { found: 0, needed: 1 });
        }
        let mut sorted: Vec<f64> = calls.iter().map(|call| call.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let median_ms = percentile(&sorted, 0.5);
        Ok(Self {
            device: device_name(device),
            batch,
            calls: calls.len(),
            per_image_ms: median_ms / batch as f64,
            median_ms,
            p10_ms: percentile(&sorted, 0.1),
            p90_ms: percentile(&sorted, 0.9),
        })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} ms/image on {} (batch {}: median {:.2} ms, p10 {:.2}, p90 {:.2}, {} calls)",
            self.per_image_ms,
            self.device,
            self.batch,
            self.median_ms,
            self.p10_ms,
            self.p90_ms,
            self.calls
        )
    }
}

/// Times a generator on latents of one shape, on the device of `noise`.
///
/// Makes two untimed calls, then `repeats` timed ones by a monotonic clock. On CUDA every timing waits for the device
/// before and after the call. Drawing the latents is not timed; what a stochastic sampler draws inside is.
///
/// # Shapes
/// `shape`: `[B, C, H, W]` of the latents; `cond`: of `B` images, on the generator's device.
///
/// # Errors
/// [`Error::NotPositive`] if `repeats` or the batch is not positive.
///
/// # Example
/// ```
/// use diffusion_core::{Cond, Generator, Noise};
/// use tch::Tensor;
/// struct Half;
/// impl Generator for Half {
///     fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
///         z * 0.5
///     }
///     fn nfe(&self) -> usize {
///         1
///     }
/// }
/// let latency = metrics::measure(&Half, [4, 3, 8, 8], &Cond::none(), 5, &mut Noise::new(0))?;
/// assert_eq!((latency.batch, latency.calls), (4, 5));
/// assert!(latency.per_image_ms > 0.0);
/// # Ok::<(), metrics::Error>(())
/// ```
pub fn measure(
    generator: &dyn Generator,
    shape: [i64; 4],
    cond: &Cond,
    repeats: usize,
    noise: &mut Noise,
) -> Result<Latency> {
    for (what, value) in [("repeats", repeats as i64), ("batch", shape[0])] {
        if value < 1 {
            return Err(Error::NotPositive { what, value });
        }
    }
    let _no_grad = tch::no_grad_guard();
    let device = noise.device();
    let z = noise.normal(&shape);
    for _ in 0..WARM_UPS {
        let _ = generator.generate(&z, cond, noise);
    }
    let calls: Vec<Duration> =
        (0..repeats).map(|_| timed(device, || generator.generate(&z, cond, noise)).1).collect();
    Latency::of_calls(device, shape[0], &calls)
}

/// The result of `work` and how long it took, waiting for the device on both sides.
pub(crate) fn timed<T>(device: Device, work: impl FnOnce() -> T) -> (T, Duration) {
    synchronize(device);
    let start = Instant::now();
    let result = work();
    synchronize(device);
    (result, start.elapsed())
}

fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// The `q`-th quantile of ascending values, interpolated linearly.
fn percentile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    low + (high - low) * position.fract()
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".into(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tch::Tensor;

    /// Sleeps two milliseconds a call and counts the calls.
    struct Sleeper(Cell<usize>);

    impl Generator for Sleeper {
        fn generate(&self, z: &Tensor, _cond: &Cond, _noise: &mut Noise) -> Tensor {
            self.0.set(self.0.get() + 1);
            std::thread::sleep(Duration::from_millis(2));
            z.shallow_clone()
        }

        fn nfe(&self) -> usize {
            1
        }
    }

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let calls: Vec<Duration> = (1..=11).rev().map(Duration::from_millis).collect();
        let latency = Latency::of_calls(Device::Cpu, 4, &calls).unwrap();
        for (found, expected) in [
            (latency.p10_ms, 2.0),
            (latency.median_ms, 6.0),
            (latency.p90_ms, 10.0),
            (latency.per_image_ms, 1.5),
        ] {
            assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
        }
        let between = Latency::of_calls(Device::Cpu, 1, &calls[..2]).unwrap(); // 11 and 10 ms
        assert!((between.median_ms - 10.5).abs() < 1e-9);
        assert!(latency.to_string().starts_with("1.500 ms/image on cpu (batch 4"));
    }

    #[test]
    fn a_sleep_is_measured_after_the_warm_ups() {
        let sleeper = Sleeper(Cell::new(0));
        let latency =
            measure(&sleeper, [2, 1, 1, 1], &Cond::none(), 3, &mut Noise::new(0)).unwrap();
        assert_eq!(sleeper.0.get(), WARM_UPS + 3);
        assert!(latency.p10_ms >= 2.0 && latency.per_image_ms >= 1.0, "{latency}");
    }

    #[test]
    fn counts_must_be_positive() {
        let sleeper = Sleeper(Cell::new(0));
        let mut noise = Noise::new(0);
        let error = measure(&sleeper, [2, 1, 1, 1], &Cond::none(), 0, &mut noise).unwrap_err();
        assert!(matches!(error, Error::NotPositive { what: "repeats", value: 0 }));
        let error = measure(&sleeper, [0, 1, 1, 1], &Cond::none(), 1, &mut noise).unwrap_err();
        assert!(matches!(error, Error::NotPositive { what: "batch", value: 0 }));
        assert!(matches!(Latency::of_calls(Device::Cpu, 1, &[]), Err(Error::TooFew { .. })));
    }
}
