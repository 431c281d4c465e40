//! Labels as a network takes them.

use super::Pass;
use tch::{Kind, Tensor};

/// The condition `name` of every image, in `f32`; zeros where it is missing. `expected`: images and width. `like`: a
/// tensor on the network's device.
///
/// # Panics
/// If it has another shape.
pub(crate) fn rows_or_zeros(
    name: &str,
    values: Option<&Tensor>,
    expected: [i64; 2],
    like: &Tensor,
) -> Tensor {
    let Some(values) = values else {
        return Tensor::zeros(expected, (Kind::Float, like.device()));
    };
    let found = values.size();
    assert!(
        found == expected,
        "`{name}` of the condition have shape {found:?}; this network needs {expected:?}: [images, width]"
    );
    values.to_kind(Kind::Float)
}

/// Zeroes whole rows with `probability`, in training: classifier-free guidance needs a network that knows both.
pub(crate) fn hide_rows(labels: Tensor, probability: f64, pass: &mut Pass<'_>) -> Tensor {
    match pass.noise() {
        Some(noise) if probability > 0.0 => {
            let kept = noise.uniform(&[labels.size()[0], 1]).ge(probability);
            let kept = kept.to_device(labels.device());
            labels * kept
        }
        _ => labels,
    }
}
