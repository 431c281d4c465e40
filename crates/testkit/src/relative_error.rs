//! The comparison rule of reference values.

use tch::{Kind, Tensor};

/// `max |a - b| / max |b|`, the error of `a` against the reference `b`.
///
/// Infinite if the shapes differ, if anything is NaN or infinite, or if `b` is all zeros and `a` is not; 0 for two
/// empty tensors.
///
/// # Example
/// ```
/// use tch::Tensor;
/// let (a, b) = (Tensor::from_slice(&[1.0, 2.1]), Tensor::from_slice(&[1.0, -2.0]));
/// assert!((testkit::max_relative_error(&a, &a) - 0.0).abs() < 1e-15);
/// assert!((testkit::max_relative_error(&a, &b) - 2.05).abs() < 1e-12);
/// ```
pub fn max_relative_error(a: &Tensor, b: &Tensor) -> f64 {
    if a.size() != b.size() {
        return f64::INFINITY;
    }
    if a.numel() == 0 {
        return 0.0;
    }
    let [a, b] = [a, b].map(|t| t.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double));
    let largest = |t: &Tensor| t.abs().max().double_value(&[]); // NaN wins
    let (difference, scale) = (largest(&(&a - &b)), largest(&b));
    if difference == 0.0 {
        return 0.0;
    }
    let error = difference / scale;
    if error.is_nan() { f64::INFINITY } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_infinitely_wrong() {
        let b = Tensor::from_slice(&[1.0, 2.0]);
        for a in [[1.0, f64::NAN], [f64::INFINITY, 2.0]] {
            let a = Tensor::from_slice(&a);
            assert_eq!(max_relative_error(&a, &b), f64::INFINITY);
            assert_eq!(max_relative_error(&b, &a), f64::INFINITY);
            assert_eq!(max_relative_error(&a, &a), f64::INFINITY);
        }
        assert_eq!(max_relative_error(&b.view([2, 1]), &b), f64::INFINITY);
        assert_eq!(max_relative_error(&b, &b.zeros_like()), f64::INFINITY);
        assert_eq!(max_relative_error(&b.zeros_like(), &b.zeros_like()), 0.0);
    }

    #[test]
    fn integers_are_compared_too() {
        let (a, b) = (Tensor::from_slice(&[3i64, 4]), Tensor::from_slice(&[3i64, 8]));
        assert_eq!(max_relative_error(&a, &b), 0.5);
    }
}
