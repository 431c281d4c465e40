//! Weights and inputs as functions of a tensor's name.
//!
//! Reference files hold no weights: every value follows from the CRC-32 of its tensor's name and its row-major index,
//! through the splitmix64 finalizer, so that any language reproduces it bit for bit. The values suit trained networks:
//! matrices keep the variance of their input, scales are near 1, everything else near 0.

use diffusion_core::Parameters;
use tch::Tensor;

/// The value of the parameter `name`, `f32`, on the CPU.
///
/// ```text
/// 16 u                   the name ends with "freqs"
/// 1 + 0.1 u              it ends with "running_var"
/// u sqrt(3 / fan_in)     two or more dimensions, fan_in = numel / shape[0]
/// 1 + 0.1 u              one dimension, it ends with "weight" or "gamma"
/// 0.1 u                  everything else
/// ```
///
/// with `u` in `[-1, 1)`, see the module.
pub fn value(name: &str, shape: &[i64]) -> Tensor {
    let is_scale = name.ends_with("weight") || name.ends_with("gamma");
    let (offset, scale) = if name.ends_with("freqs") {
        (0.0, 16.0)
    } else if name.ends_with("running_var") {
        (1.0, 0.1)
    } else if shape.len() > 1 {
        let fan_in: i64 = shape[1..].iter().product();
        (0.0, (3.0 / fan_in as f64).sqrt())
    } else if shape.len() == 1 && is_scale {
        (1.0, 0.1)
    } else {
        (0.0, 0.1)
    };
    tensor(name, shape, |u| offset + scale * u)
}

/// The input `name`: unit variance, uniform, `f32`, on the CPU.
pub fn noise(name: &str, shape: &[i64]) -> Tensor {
    let scale = 3f64.sqrt();
    tensor(name, shape, |u| u * scale)
}

/// Sets every floating-point parameter and buffer to the value of `prefix` and its name.
///
/// Values are rounded to `f32` whatever the kind of the parameter. Buffers called `…resample_filter` and
/// `…num_batches_tracked` keep theirs.
pub fn fill(parameters: &Parameters, prefix: &str) {
    let _guard = tch::no_grad_guard();
    for entry in parameters {
        let kept = ["resample_filter", "num_batches_tracked"];
        if kept.iter().any(|end| entry.name.ends_with(end)) || !entry.tensor.is_floating_point() {
            continue;
        }
        let filled = value(&format!("{prefix}{}", entry.name), &entry.tensor.size());
        entry.tensor.shallow_clone().copy_(&filled);
    }
}

fn tensor(name: &str, shape: &[i64], of: impl Fn(f64) -> f64) -> Tensor {
    let hash = u64::from(crc32fast::hash(name.as_bytes()));
    let count = shape.iter().product::<i64>() as u64;
    let values: Vec<f32> = (0..count).map(|k| of(unit(hash, k)) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// Number `k` of the sequence of `hash`: a multiple of 2⁻²³ in `[-1, 1)`.
fn unit(hash: u64, k: u64) -> f64 {
    let mut z = (hash << 32).wrapping_add(k).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    2.0 * ((z >> 40) as f64 / 16_777_216.0) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_sequence_is_the_published_one() {
        let hash = u64::from(crc32fast::hash(b"model.enc.32x32_conv.weight"));
        let expected = [-0.871_325_02, 0.301_599_50, -0.092_713_71, 0.449_067_83];
        for (k, expected) in expected.into_iter().enumerate() {
            assert!((unit(hash, k as u64) - expected).abs() < 5e-9);
        }
    }

    #[test]
    fn the_name_and_shape_decide_the_scale() {
        let at = |name: &str, shape: &[i64]| value(name, shape).view(-1).double_value(&[0]);
        let u = |name: &str| unit(u64::from(crc32fast::hash(name.as_bytes())), 0);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        near(at("map.freqs", &[4]), 16.0 * u("map.freqs"));
        near(at("bn.running_var", &[4]), 1.0 + 0.1 * u("bn.running_var"));
        near(at("conv.weight", &[8, 3, 2, 2]), u("conv.weight") * 0.5);
        near(at("norm.weight", &[4]), 1.0 + 0.1 * u("norm.weight"));
        near(at("conv.bias", &[4]), 0.1 * u("conv.bias"));
        near(at("scale.weight", &[]), 0.1 * u("scale.weight"));
        let z = noise("z", &[10_000]);
        near(z.double_value(&[0]), u("z") * 3f64.sqrt());
        assert!((z.std(true).double_value(&[]) - 1.0).abs() < 0.02);
    }

    #[test]
    fn filters_and_counters_keep_their_values() {
        let mut parameters = Parameters::new(Device::Cpu);
        let ones = || Tensor::ones([2], (Kind::Float, Device::Cpu));
        let _ = parameters.trainable("bias", ones());
        let _ = parameters.buffer("conv.resample_filter", ones());
        let _ = parameters.buffer("index", ones().to_kind(Kind::Int64));
        fill(&parameters, "student.");
        assert_eq!(*parameters.get("bias").unwrap(), value("student.bias", &[2]));
        assert_eq!(*parameters.get("conv.resample_filter").unwrap(), ones());
        assert_eq!(*parameters.get("index").unwrap(), ones().to_kind(Kind::Int64));
    }
}
