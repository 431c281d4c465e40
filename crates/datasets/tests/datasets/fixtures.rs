//! Files made for a test.

use datasets::{Error, Image, ImageSource, OpenOptions, open};
use image::ImageFormat;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A picture whose pixels depend on `tint`.
pub(crate) fn picture(channels: u32, size: u32, tint: u8) -> Image {
    let count = channels * size * size;
    let data = (0..count).map(|i| (3 * i + u32::from(tint)) as u8).collect();
    Image { channels, height: size, width: size, data }
}

/// An RGB picture of 4 by 4 pixels.
pub(crate) fn rgb(tint: u8) -> Image {
    picture(3, 4, tint)
}

pub(crate) fn encoded(image: &Image, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.to_dynamic().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn png(image: &Image) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

pub(crate) fn zip(path: &Path, entries: &[(&str, Vec<u8>)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// Writes files below a folder.
pub(crate) fn folder(root: &Path, entries: &[(&str, Vec<u8>)]) {
    for (name, bytes) in entries {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// CIFAR-10 records of the given classes; every value of record `i` is `i`.
pub(crate) fn cifar(labels: &[u8]) -> Vec<u8> {
    let record = |(i, &label): (usize, &u8)| {
        std::iter::once(label).chain(std::iter::repeat_n(i as u8, 3072))
    };
    labels.iter().enumerate().flat_map(record).collect()
}

pub(crate) fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend_from_slice(values);
    bytes
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Opens with the defaults.
pub(crate) fn opened(path: &Path) -> Arc<dyn ImageSource> {
    open(path, &OpenOptions::default()).unwrap()
}

/// The error of opening with the defaults.
pub(crate) fn refused(path: &Path) -> Error {
    open(path, &OpenOptions::default()).unwrap_err()
}

pub(crate) fn labels(source: &dyn ImageSource) -> Vec<Option<i64>> {
    (0..source.len()).map(|index| source.label(index)).collect()
}

pub(crate) fn pictures(source: &dyn ImageSource) -> Vec<Image> {
    (0..source.len()).map(|index| source.image(index).unwrap()).collect()
}
