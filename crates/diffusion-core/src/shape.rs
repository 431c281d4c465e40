//! Shape checks and per-image broadcasting.
//!
//! libtorch broadcasts silently: `[B]` times `[B, C, H, W]` is an error at best and a wrong answer at worst. Public
//! functions check once at their boundary with the functions here; formulas then stay bare.

use tch::Tensor;

/// `[B]` viewed as `[B, 1, 1, …]`, so that it multiplies `like` image by image.
///
/// # Panics
/// If `per_image` is not `[B]` with the batch size of `like`.
///
/// # Example
/// ```
/// use diffusion_core::shape::per_image;
/// use tch::{Device, Kind, Tensor};
/// let x = Tensor::ones([2, 3, 4, 4], (Kind::Float, Device::Cpu));
/// let sigma = Tensor::from_slice(&[1f32, 2.0]);
/// assert_eq!(per_image(&sigma, &x).size(), [2, 1, 1, 1]);
/// ```
pub fn per_image(values: &Tensor, like: &Tensor) -> Tensor {
    assert_per_image("values", values, like);
    let mut shape = vec![1; like.dim()];
    shape[0] = values.size()[0];
    values.view(shape.as_slice())
}

/// Checks that `values` is `[B]` with the batch size of `like`.
///
/// # Panics
/// If it is not.
pub fn assert_per_image(name: &str, values: &Tensor, like: &Tensor) {
    let (found, images) = (values.size(), like.size());
    assert!(
        found.len() == 1 && found[0] == images[0],
        "`{name}` has shape {found:?}; one value per image of a batch {images:?} is needed: [{}]",
        images[0]
    );
}

/// Checks that two tensors have the same shape.
///
/// # Panics
/// If they do not.
pub fn assert_same(names: [&str; 2], a: &Tensor, b: &Tensor) {
    let (left, right) = (a.size(), b.size());
    assert!(
        left == right,
        "`{}` {left:?} and `{}` {right:?} must have the same shape",
        names[0],
        names[1]
    );
}

/// The sum over everything but the batch axis: `[B, …]` to `[B]`.
pub fn sum_per_image(x: &Tensor) -> Tensor {
    x.flatten(1, -1).sum_dim_intlist(1, false, None)
}

/// The mean over everything but the batch axis: `[B, …]` to `[B]`.
pub fn mean_per_image(x: &Tensor) -> Tensor {
    x.flatten(1, -1).mean_dim(1, false, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    #[should_panic(expected = "one value per image")]
    fn a_column_is_refused() {
        let x = Tensor::zeros([2, 3, 4, 4], (Kind::Float, Device::Cpu));
        let _ = per_image(&Tensor::zeros([2, 1], (Kind::Float, Device::Cpu)), &x);
    }

    #[test]
    fn reductions_keep_the_batch_axis() {
        let x = Tensor::ones([2, 3, 4, 4], (Kind::Float, Device::Cpu));
        assert_eq!(Vec::<f32>::try_from(sum_per_image(&x)).unwrap(), [48.0, 48.0]);
        assert_eq!(Vec::<f32>::try_from(mean_per_image(&x)).unwrap(), [1.0, 1.0]);
    }
}
