//! Resizing as Pillow does it: along the rows, then along the columns.

use super::filter::{Filter, Taps, taps};
use crate::Result;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use tch::{Device, Kind, Tensor, kind::Element};

/// Bits behind the binary point of the weights of bytes.
const PRECISION: u32 = 32 - 8 - 2;

/// A kind of pixel, and how weighted pixels add up to one.
pub(super) trait Pixel: Element + Copy + Send + Sync {
    /// A weight as it is multiplied with a pixel.
    type Weight: Copy + Send + Sync;

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

/// The images `[B, C, H, W]` of pixels `P` at another size, as `f32`, on their device; by as many threads as libtorch uses.
pub(super) fn resize<P: Pixel>(images: &Tensor, size: [i64; 2], filter: Filter) -> Result<Tensor>
where
    Vec<P>: TryFrom<Tensor, Error = tch::TchError>,
{
    let [planes @ .., height, width] = &images.size()[..] else { unreachable!("[B, C, H, W]") };
    let (height, width) = (*height as usize, *width as usize);
    let [to_height, to_width] = size.map(|n| n as usize);
    let pixels = Vec::<P>::try_from(images.to_device(Device::Cpu).contiguous().view(-1))?;
    let columns = line::<P>(width, to_width, filter);
    let rows = line::<P>(height, to_height, filter);
    let n_threads = tch::get_num_threads().max(1) as usize;
    let resized = in_parallel(n_threads, &pixels, height * width, |plane| {
        along_columns(&along_rows(plane, width, &columns), to_width, &rows)
    });
    let shape = [planes, &size].concat();
    let resized = Tensor::from_slice(&resized).view(&shape[..]);
    Ok(resized.to_kind(Kind::Float).to_device(images.device()))
}

/// What `of` makes of every plane of `length` pixels, in order.
fn in_parallel<P: Pixel>(
    n_threads: usize,
    pixels: &[P],
    length: usize,
    of: impl Fn(&[P]) -> Vec<P> + Sync,
) -> Vec<P> {
    let of_thread = (pixels.len() / length).div_ceil(n_threads) * length;
    thread::scope(|scope| {
        let work = |part: &[P]| part.chunks_exact(length).map(&of).collect::<Vec<_>>().concat();
        let parts = pixels.chunks(of_thread);
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let join = |thread: ScopedJoinHandle<'_, Vec<P>>| match thread.join() {
            Ok(part) => part,
            Err(panic) => resume_unwind(panic),
        };
        threads.into_iter().map(join).collect::<Vec<_>>().concat()
    })
}

/// The first pixel of every pixel of a line, and the weights of it and those after it.
fn line<P: Pixel>(from: usize, to: usize, filter: Filter) -> Vec<(usize, Vec<P::Weight>)> {
    let weighted = |taps: Taps| (taps.start, taps.weights.into_iter().map(P::weight).collect());
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

fn along_columns<P: Pixel>(plane: &[P], width: usize, rows: &[(usize, Vec<P::Weight>)]) -> Vec<P> {
    let mut resized = Vec::with_capacity(width * rows.len());
    for (start, weights) in rows {
        resized.extend((0..width).map(|column| {
            let pixels = plane[start * width + column..].iter().step_by(width).copied();
            P::sum(pixels.zip(weights.iter().copied()))
        }));
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_keep_the_order() {
        let pixels: Vec<u8> = (0..35).collect();
        for n_threads in [1, 2, 3, 7, 100] {
            let found = in_parallel(n_threads, &pixels, 5, |plane| vec![plane[0], plane[4]]);
            assert_eq!(found, [0, 4, 5, 9, 10, 14, 15, 19, 20, 24, 25, 29, 30, 34], "{n_threads}");
        }
    }

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
