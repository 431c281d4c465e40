//! Conditions that a network cannot do without.

use tch::{Kind, Tensor};

/// The condition `name` as `f32`.
///
/// # Panics
/// If it is absent or has another shape than `expected`, of which negative sizes stand for any.
pub(crate) fn required(name: &str, value: Option<&Tensor>, expected: &[i64]) -> Tensor {
    let fits = |found: &[i64]| {
        let mut sizes = found.iter().zip(expected);
        found.len() == expected.len() && sizes.all(|(found, size)| *size < 0 || found == size)
    };
    let found = value.map(Tensor::size);
    match value {
        Some(value) if fits(&value.size()) => value.to_kind(Kind::Float),
        _ => panic!(
            "`{name}` of the condition has shape {found:?}; this network needs {expected:?} (-1: any size)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn free_sizes_are_free() {
        let text = Tensor::zeros([2, 7, 24], (Kind::Half, Device::Cpu));
        assert_eq!(required("text", Some(&text), &[2, -1, 24]).kind(), Kind::Float);
    }

    #[test]
    #[should_panic(
        expected = "`text` of the condition has shape Some([2, 24]); this network needs [2, -1, 24]"
    )]
    fn another_shape_is_refused() {
        let text = Tensor::zeros([2, 24], (Kind::Float, Device::Cpu));
        let _ = required("text", Some(&text), &[2, -1, 24]);
    }

    #[test]
    #[should_panic(expected = "`text` of the condition has shape None")]
    fn absence_is_refused() {
        let _ = required("text", None, &[2, -1, 24]);
    }
}
