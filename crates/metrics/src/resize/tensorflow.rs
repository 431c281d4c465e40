//! The bilinear resizing of TensorFlow 1.

use tch::Tensor;

/// Pixel `i` of the output lies at `i H / h` of the input, in `f32`; the last pixel goes on beyond the border.
///
/// # Source
/// `tf.image.resize_bilinear` with `align_corners=False`. The programs that rebuild it reach its positions by other ways in
/// `f32`, which moves values by up to 0.01 levels.
pub(super) fn bilinear(levels: &Tensor, [height, width]: [i64; 2]) -> Tensor {
    along(&along(levels, 3, width), 2, height)
}

fn along(levels: &Tensor, axis: i64, to: i64) -> Tensor {
    let from = levels.size()[axis as usize];
    let scale = from as f32 / to as f32;
    let at: Vec<f32> = (0..to).map(|pixel| pixel as f32 * scale).collect();
    let below: Vec<i64> = at.iter().map(|&at| (at as i64).min(from - 1)).collect();
    let above: Vec<i64> = below.iter().map(|&below| (below + 1).min(from - 1)).collect();
    let share: Vec<f32> = at.iter().zip(&below).map(|(at, &below)| at - below as f32).collect();

    let device = levels.device();
    let pick =
        |index: &[i64]| levels.index_select(axis, &Tensor::from_slice(index).to_device(device));
    let mut shape = [1; 4];
    shape[axis as usize] = to;
    let share = Tensor::from_slice(&share).view(shape).to_device(device);
    let below = pick(&below);
    let step = pick(&above) - &below;
    below + step * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_start_at_the_corner_and_end_flat() {
        let line = Tensor::from_slice(&[0f32, 10.0, 30.0]).view([1, 1, 1, 3]);
        let six = bilinear(&line, [1, 6]).view(-1);
        assert_eq!(Vec::<f32>::try_from(six).unwrap(), [0.0, 5.0, 10.0, 20.0, 30.0, 30.0]);
        let column = line.view([1, 1, 3, 1]);
        let two = bilinear(&column, [2, 1]).view(-1);
        assert_eq!(Vec::<f32>::try_from(two).unwrap(), [0.0, 20.0]);
    }
}
