//! Resizing as Pillow does it: along the rows, then along the columns.

use super::filter::{Filter, Taps, taps};
use crate::Result;
use tch::{Kind, Tensor, kind::Element};

/// Bits behind the binary point of the weights of bytes.
const PRECISION: u32 = 32 - 8 - 2;

/// A kind of pixel, and how weighted pixels add up to one.
pub(super) trait Pixel: Element + Copy + Default {
    /// A weight as it is multiplied with a pixel.
    type Weight: Copy;

    fn weight(weight: f64) -> Self::Weight;

    fn sum(terms: impl Iterator<Item = (Self, Self::Weight)>) -> Self;
}

impl Pixel for f32 {
    type Weight = f64;

    fn weight(weight: f64) -> f64 {
        weight
    }

    fn sum(terms: impl Iterator<Item = (Self, f64)>) -> Self {
        terms.map(|(pixel, weight)| f64::from(pixel) * weight).sum::<f64>() as f32
    }
}

impl Pixel for u8 {
    type Weight = i32;

    /// Rounded to [`PRECISION`] bits, halves away from zero.
    fn weight(weight: f64) -> i32 {
        (weight * f64::from(1 << PRECISION)).round() as i32
    }

    fn sum(terms: impl Iterator<Item = (Self, i32)>) -> Self {
        let half = 1 << (PRECISION - 1);
        let sum: i32 = half + terms.map(|(pixel, weight)| i32::from(pixel) * weight).sum::<i32>();
        (sum >> PRECISION).clamp(0, 255) as u8
    }
}

/// The images `[B, C, H, W]` of pixels `P` at another size, as `f32`, on their device.
pub(super) fn resize<P: Pixel>(images: &Tensor, size: [i64; 2], filter: Filter) -> Result<Tensor>
where
    Vec<P>: TryFrom<Tensor, Error = tch::TchError>,
{
    let [planes @ .., height, width] = &images.size()[..] else { unreachable!("[B, C, H, W]") };
    let (height, width) = (*height as usize, *width as usize);
    let [to_height, to_width] = size.map(|n| n as usize);
    let pixels = Vec::<P>::try_from(images.to_device(tch::Device::Cpu).contiguous().view(-1))?;
    let columns = line::<P>(width, to_width, filter);
    let rows = line::<P>(height, to_height, filter);
    let mut resized =
        Vec::with_capacity(planes.iter().product::<i64>() as usize * to_height * to_width);
    for plane in pixels.chunks_exact(height * width) {
        let wide = along_rows(plane, width, &columns);
        along_columns(&wide, to_width, &rows, &mut resized);
    }
    let shape = [planes, &size].concat();
    Ok(Tensor::from_slice(&resized)
        .view(&shape[..])
        .to_kind(Kind::Float)
        .to_device(images.device()))
}

/// The pixels and weights of every pixel of a line.
fn line<P: Pixel>(from: usize, to: usize, filter: Filter) -> Vec<(usize, Vec<P::Weight>)> {
    let weighted =
        |Taps { start, weights }: Taps| (start, weights.into_iter().map(P::weight).collect());
    taps(from, to, filter).into_iter().map(weighted).collect()
}

fn along_rows<P: Pixel>(plane: &[P], width: usize, columns: &[(usize, Vec<P::Weight>)]) -> Vec<P> {
    let mut wide = Vec::with_capacity(plane.len() / width * columns.len());
    for row in plane.chunks_exact(width) {
        wide.extend(columns.iter().map(|(start, weights)| {
            P::sum(row[*start..].iter().copied().zip(weights.iter().copied()))
        }));
    }
    wide
}

fn along_columns<P: Pixel>(
    plane: &[P],
    width: usize,
    rows: &[(usize, Vec<P::Weight>)],
    resized: &mut Vec<P>,
) {
    for (start, weights) in rows {
        resized.extend((0..width).map(|column| {
            let pixels = plane[start * width + column..].iter().step_by(width).copied();
            P::sum(pixels.zip(weights.iter().copied()))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overshoots_of_bytes_are_clipped() {
        let edge = Tensor::from_slice(&[0u8, 0, 0, 255, 255, 255]).view([1, 1, 1, 6]);
        let large = resize::<u8>(&edge, [1, 60], Filter::Lanczos).unwrap();
        let floats = resize::<f32>(&edge.to_kind(Kind::Float), [1, 60], Filter::Lanczos).unwrap();
        assert!(floats.max().double_value(&[]) > 256.0 && floats.min().double_value(&[]) < -1.0);
        let clipped = floats.clamp(0.0, 255.0);
        assert!((large - clipped).abs().max().double_value(&[]) <= 0.5 + 1e-4);
    }

    #[test]
    fn shrinking_to_a_pixel_keeps_a_linear_ramp_s_mean() {
        let ramp: Vec<f32> = (0..64).map(|x| x as f32).collect();
        let ramp = Tensor::from_slice(&ramp).view([1, 1, 1, 64]);
        let pixel = resize::<f32>(&ramp, [1, 1], Filter::Bicubic).unwrap();
        assert!((pixel.double_value(&[0, 0, 0, 0]) - 31.5).abs() < 1e-5);
    }
}
