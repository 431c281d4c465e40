//! Many images in one picture.

use crate::{Error, Result};
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Small images are enlarged until the picture is at least this wide, in pixels.
const MIN_WIDTH: u32 = 512;
/// Pixels between the images and around them.
const GAP: u32 = 2;
const BACKGROUND: Rgb<u8> = Rgb([24, 24, 27]);

/// Writes `images` as one PNG, row by row, each row of `columns` images.
///
/// A value `x` becomes the byte `x · 127.5 + 128`, clipped and truncated, as in EDM's `generate.py`; NaN becomes
/// black. Small images are enlarged by a whole factor, each pixel to a square. The file is replaced in one step.
///
/// # Shapes
/// `images`: `[B, C, H, W]` with 1 or 3 channels, in `[-1, 1]`, on any device. An unfinished last row is fine.
///
/// # Errors
/// - [`Error::Picture`] if there is no image, no column, or another number of channels.
/// - [`Error::Core`] if the file cannot be written.
///
/// # Example
/// ```
/// let folder = tempfile::tempdir()?;
/// let images = tch::Tensor::zeros([6, 3, 32, 32], (tch::Kind::Float, tch::Device::Cpu));
/// distill_trainer::observer::write_grid(&folder.path().join("gray.png"), &images, 3)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_grid(path: &Path, images: &Tensor, columns: i64) -> Result<()> {
    let png =
        encode(images, columns).map_err(|reason| Error::Picture { path: path.into(), reason })?;
    Ok(diffusion_core::tensor_file::write_bytes(path, &png)?)
}

/// The bytes of the PNG of [`write_grid`], or why there can be none.
pub(super) fn encode(images: &Tensor, columns: i64) -> Result<Vec<u8>, String> {
    let columns = u32::try_from(columns).unwrap_or(0);
    let tiles = tiles(images)?;
    if columns == 0 || tiles.is_empty() {
        return Err(format!("{} images in {columns} columns make no picture", tiles.len()));
    }
    let mut png = Cursor::new(Vec::new());
    let written = arrange(&tiles, columns).write_to(&mut png, ImageFormat::Png);
    written.map_err(|error| error.to_string())?;
    Ok(png.into_inner())
}

/// The images as pictures of their own.
fn tiles(images: &Tensor) -> Result<Vec<RgbImage>, String> {
    let shape = images.size();
    let &[batch, 1 | 3, height, width] = shape.as_slice() else {
        return Err(format!("the tensor has shape {shape:?}; [B, 1 or 3, H, W] is needed"));
    };
    let (width, height) = (width as u32, height as u32);
    let rgb = bytes(images).expand([batch, 3, height.into(), width.into()], false);
    let rgb = Vec::<u8>::try_from(rgb.permute([0, 2, 3, 1]).contiguous().view(-1))
        .map_err(|error| error.to_string())?;
    let tile = |pixels: &[u8]| RgbImage::from_raw(width, height, pixels.to_vec());
    let size = (width * height * 3).max(1) as usize;
    Ok(rgb.chunks_exact(size).map(|pixels| tile(pixels).expect("H × W × 3 bytes")).collect())
}

fn bytes(images: &Tensor) -> Tensor {
    let images = images.detach().to_device(Device::Cpu).to_kind(Kind::Float);
    let finite = images.nan_to_num(-1.0, 1.0, -1.0);
    (finite * 127.5 + 128.0).clamp(0.0, 255.0).to_kind(Kind::Uint8)
}

fn arrange(tiles: &[RgbImage], columns: u32) -> RgbImage {
    let (width, height) = tiles[0].dimensions();
    let scale = MIN_WIDTH.div_ceil(columns * width);
    let (width, height) = (width * scale, height * scale);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let place = |index: u32, size: u32| GAP + index * (size + GAP);
    let mut picture = RgbImage::from_pixel(place(columns, width), place(rows, height), BACKGROUND);
    for (i, tile) in (0..).zip(tiles) {
        let tile = imageops::resize(tile, width, height, FilterType::Nearest);
        let (x, y) = (place(i % columns, width), place(i / columns, height));
        imageops::replace(&mut picture, &tile, x.into(), y.into());
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three images of 1 × 2 pixels in two columns.
    fn picture() -> RgbImage {
        let values = [-1.0f32, 1.0, 0.0, f32::NAN, 0.5, -2.0];
        let images = Tensor::from_slice(&values).view([3, 1, 1, 2]);
        image::load_from_memory(&encode(&images, 2).unwrap()).unwrap().to_rgb8()
    }

    #[test]
    fn small_images_are_enlarged_and_framed() {
        // 4 pixels in a row times 128 make 512; rows are 128 high; frames are 2 wide.
        assert_eq!(picture().dimensions(), (2 + 258 + 258, 2 + 130 + 130));
    }

    #[test]
    fn bytes_follow_edm() {
        let gray = |x, y| picture().get_pixel(x, y).0;
        assert_eq!(gray(2, 2), [0; 3]); // -1.0 is 0.5, truncated
        assert_eq!(gray(2 + 255, 2), [255; 3]); // 1.0 is 255.5, clipped
        assert_eq!(gray(260, 100), [128; 3]);
        assert_eq!(gray(260 + 255, 100), [0; 3]); // NaN
        assert_eq!(gray(2, 132), [191; 3]); // 0.5 is 191.75, truncated
        assert_eq!(gray(2 + 255, 132), [0; 3]);
        assert_eq!(gray(0, 0), BACKGROUND.0);
        assert_eq!(gray(300, 200), BACKGROUND.0); // the unfinished row
    }

    #[test]
    fn channels_stay_in_order() {
        let images = Tensor::from_slice(&[1.0f32, 0.0, -1.0]).view([1, 3, 1, 1]);
        let picture = image::load_from_memory(&encode(&images, 1).unwrap()).unwrap().to_rgb8();
        assert_eq!(picture.get_pixel(9, 9).0, [255, 128, 0]);
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let write = |shape: &[i64], columns| {
            let images = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            write_grid(Path::new("grid.png"), &images, columns).unwrap_err().to_string()
        };
        assert!(write(&[2, 4, 8, 8], 1).contains("[2, 4, 8, 8]"));
        assert!(write(&[0, 3, 8, 8], 1).contains("0 images"));
        assert!(write(&[1, 3, 8, 8], 0).contains("0 columns"));
        assert!(write(&[1, 3, 8, 8], 0).contains("grid.png"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let images = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
        let error = write_grid(&file.path().join("grid.png"), &images, 1).unwrap_err();
        assert!(matches!(&error, Error::Core(_)));
        assert!(error.to_string().contains("grid.png"));
    }
}
