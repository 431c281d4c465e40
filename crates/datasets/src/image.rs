//! One picture in memory.

use crate::{Error, Result};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;

/// Largest side that is decoded.
const MAX_SIDE: u32 = 16_384;
/// Most memory that decoding one image may take.
const MAX_DECODED_BYTES: u64 = 256 << 20;

/// An 8-bit picture with its channels one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// 1 for grey, 3 for red, green, blue.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// `channels · height · width` values, channel by channel, row by row.
    pub data: Vec<u8>,
}

impl Image {
    /// Decodes a PNG or JPEG file; `entry` names it in errors.
    ///
    /// Grey files give 1 channel, all others 3; 16-bit files are reduced to 8 bits; an alpha channel must be opaque.
    /// Files from outside are not trusted: at most 16,384 pixels a side and 256 MiB decoded, checked before memory is
    /// taken.
    ///
    /// # Errors
    /// [`Error::CorruptImage`], [`Error::TruncatedJpeg`], [`Error::ImageTooLarge`], [`Error::Transparent`].
    pub fn decode(bytes: &[u8], entry: &str) -> Result<Self> {
        let corrupt = |source| match source {
            ImageError::Limits(_) => Error::ImageTooLarge(entry.into()),
            source => Error::CorruptImage { entry: entry.into(), source },
        };
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_DECODED_BYTES);
        let guessed = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let mut reader = guessed.map_err(|error| corrupt(ImageError::IoError(error)))?;
        reader.limits(limits);
        if reader.format() == Some(ImageFormat::Jpeg) && !ends(bytes) {
            return Err(Error::TruncatedJpeg(entry.into())); // the decoder would fill the rest with grey
        }
        let decoded = reader.decode().map_err(corrupt)?;
        if decoded.color().has_alpha() && decoded.to_rgba8().pixels().any(|pixel| pixel.0[3] != 255)
        {
            return Err(Error::Transparent(entry.into()));
        }
        Ok(Self::from_decoded(decoded))
    }

    fn from_decoded(decoded: DynamicImage) -> Self {
        let (width, height) = (decoded.width(), decoded.height());
        if decoded.color().has_color() {
            Self::from_interleaved(3, height, width, &decoded.into_rgb8().into_raw())
        } else {
            Self { channels: 1, height, width, data: decoded.into_luma8().into_raw() }
        }
    }

    /// A picture of pixels one after the other.
    pub(crate) fn from_interleaved(channels: u32, height: u32, width: u32, pixels: &[u8]) -> Self {
        let step = channels as usize;
        let data = (0..step).flat_map(|c| pixels.iter().skip(c).step_by(step).copied()).collect();
        Self { channels, height, width, data }
    }

    /// The picture as `size` by `size` pixels.
    ///
    /// A picture that is not square is cropped to its central square first, then resampled with the Lanczos filter
    /// (three lobes, widened when shrinking, so that nothing aliases): what the `center-crop` transform of EDM's
    /// data-set tool does. A picture that has the size already is returned unchanged.
    #[must_use]
    pub fn resize(&self, size: u32) -> Self {
        if (self.height, self.width) == (size, size) {
            return self.clone();
        }
        let square = self.center_crop();
        let scale = |plane: &[u8]| {
            let plane = GrayImage::from_raw(square.width, square.height, plane.to_vec());
            let plane = plane.expect("a plane has one byte per pixel");
            imageops::resize(&plane, size, size, FilterType::Lanczos3).into_raw()
        };
        Self {
            channels: self.channels,
            height: size,
            width: size,
            data: square.planes().flat_map(scale).collect(),
        }
    }

    fn center_crop(&self) -> Self {
        let side = self.height.min(self.width);
        let (top, left) = ((self.height - side) / 2, (self.width - side) / 2);
        let (width, left, side_len) = (self.width as usize, left as usize, side as usize);
        let rows = top as usize..(top + side) as usize;
        let crop = |plane: &[u8]| -> Vec<u8> {
            rows.clone()
                .flat_map(|y| plane[y * width + left..][..side_len].iter().copied())
                .collect()
        };
        Self {
            channels: self.channels,
            height: side,
            width: side,
            data: self.planes().flat_map(crop).collect(),
        }
    }

    /// The picture with one channel: luma `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601).
    #[must_use]
    pub fn to_grey(&self) -> Self {
        if self.channels == 1 {
            return self.clone();
        }
        let planes: Vec<&[u8]> = self.planes().collect();
        let luma = |((&r, &g), &b): ((&u8, &u8), &u8)| {
            ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
        };
        let data = planes[0].iter().zip(planes[1]).zip(planes[2]).map(luma).collect();
        Self { channels: 1, data, ..*self }
    }

    /// The picture with three channels; a grey one is repeated.
    #[must_use]
    pub fn to_rgb(&self) -> Self {
        if self.channels == 3 {
            self.clone()
        } else {
            Self { channels: 3, data: self.data.repeat(3), ..*self }
        }
    }

    /// The picture mirrored left to right.
    #[must_use]
    pub fn flip_horizontal(&self) -> Self {
        let rows = self.data.chunks_exact(self.width as usize);
        Self { data: rows.flat_map(|row| row.iter().rev().copied()).collect(), ..*self }
    }

    /// The picture as an uncompressed raster for encoders of the `image` crate.
    pub fn to_dynamic(&self) -> DynamicImage {
        if self.channels == 1 {
            let image = GrayImage::from_raw(self.width, self.height, self.data.clone());
            return image.expect("a grey image has one byte per pixel").into();
        }
        let plane = self.data.len() / 3;
        let pixel = |x, y| (y * self.width + x) as usize;
        RgbImage::from_fn(self.width, self.height, |x, y| {
            image::Rgb([0, 1, 2].map(|c| self.data[c * plane + pixel(x, y)]))
        })
        .into()
    }

    fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.height as usize * self.width as usize)
    }
}

/// Whether JPEG data has an end marker (`FF D9`) after its last start of scan (`FF DA`).
///
/// The scan itself holds neither, and the end of an embedded thumbnail comes before it.
fn ends(jpeg: &[u8]) -> bool {
    let last_scan = jpeg.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap_or(0);
    jpeg[last_scan..].windows(2).any(|pair| pair == [0xFF, 0xD9])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Image {
        Image { channels: 3, height: 4, width: 6, data: (0..72).collect() }
    }

    #[test]
    fn a_flip_mirrors_every_row_and_undoes_itself() {
        let flipped = gradient().flip_horizontal();
        assert_eq!(flipped.data[..6], [5, 4, 3, 2, 1, 0]);
        assert_eq!(flipped.flip_horizontal(), gradient());
    }

    #[test]
    fn resizing_keeps_flat_pictures_flat_and_crops_the_center() {
        let mut wide = Image { channels: 1, height: 4, width: 8, data: vec![200; 32] };
        for row in wide.data.chunks_exact_mut(8) {
            row[..2].fill(0);
            row[6..].fill(0); // the outer quarters, which the crop removes
        }
        assert_eq!(wide.resize(2), Image { channels: 1, height: 2, width: 2, data: vec![200; 4] });
        assert_eq!(gradient().resize(3).data.len(), 27);
    }

    #[test]
    fn shrinking_averages_instead_of_skipping() {
        let checker = Image {
            channels: 1,
            height: 32,
            width: 32,
            data: (0..1024).map(|i| ((i + i / 32) % 2 * 255) as u8).collect(),
        };
        assert!(checker.resize(8).data.iter().all(|&value| value.abs_diff(127) < 8));
    }

    #[test]
    fn grey_is_luma() {
        let red = Image { channels: 3, height: 1, width: 1, data: vec![255, 0, 0] };
        assert_eq!(red.to_grey().data, [76]);
        assert_eq!(red.to_grey().to_rgb().data, [76; 3]);
    }
}
