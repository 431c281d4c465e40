//! Every kind of bad input is an error that says what is wrong.

use crate::fixtures::{cifar, encoded, folder, gz, idx, picture, png, refused, rgb, zip};
use datasets::{Error, Image, InMemory, OpenOptions, open};
use image::{ImageFormat, RgbaImage};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    folder(dir.path(), &[(name, bytes.to_vec())]);
    let path = dir.path().join(name);
    (dir, path)
}

fn zipped(entries: &[(&str, Vec<u8>)]) -> Error {
    let dir = tempdir().unwrap();
    zip(&dir.path().join("set.zip"), entries);
    refused(&dir.path().join("set.zip"))
}

fn labeled(labels: &str) -> Error {
    let json = format!(r#"{{"labels": {labels}}}"#).into_bytes();
    zipped(&[("dataset.json", json), ("a.png", png(&rgb(1))), ("b.png", png(&rgb(2)))])
}

#[test]
fn paths_that_hold_nothing() {
    let missing = refused(Path::new("no/such/data"));
    assert!(matches!(missing, Error::Missing(_)) && missing.to_string().contains("no/such/data"));
    let dir = tempdir().unwrap();
    assert!(matches!(refused(dir.path()), Error::Empty(_)));
    assert!(matches!(zipped(&[("readme.txt", b"hello".to_vec())]), Error::Empty(_)));
    assert!(matches!(
        zipped(&[("dataset.json", br#"{"labels": null}"#.to_vec())]),
        Error::Empty(_)
    ));
    let (_dir, path) = file("data.tar.gz", b"x");
    let unknown = refused(&path);
    assert!(matches!(unknown, Error::UnknownFormat(_)) && unknown.to_string().contains("CIFAR-10"));
    assert!(matches!(
        open("shapes", &OpenOptions { size: Some(0), ..Default::default() }),
        Err(Error::BadSize(0))
    ));
}

#[test]
fn cifar_of_a_wrong_size() {
    let mut truncated = cifar(&[1, 2]);
    truncated.pop();
    let (_dir, path) = file("data_batch_1.bin", &truncated);
    assert!(matches!(refused(&path), Error::WrongRecordSize { bytes: 6145, .. }));
    let (_dir, path) = file("data_batch_1.bin", b"");
    assert!(matches!(refused(&path), Error::Empty(_)));
    let (_dir, path) = file("data_batch_1.bin", &cifar(&[1, 10]));
    assert!(matches!(refused(&path), Error::LabelOutOfRange { label: 10, classes: 10, .. }));
    let (dir, _) = file("test_batch.bin", &cifar(&[1]));
    assert!(matches!(refused(dir.path()), Error::NoSplit { .. }));
}

#[test]
fn idx_that_does_not_keep_its_promise() {
    const NAME: &str = "train-images-idx3-ubyte";
    let refuse = |bytes: &[u8]| {
        let plain = file(NAME, bytes);
        let zipped = file(&format!("{NAME}.gz"), &gz(bytes));
        let (plain, zipped) = (refused(&plain.1), refused(&zipped.1));
        assert_eq!(std::mem::discriminant(&plain), std::mem::discriminant(&zipped));
        plain
    };
    let whole = idx(&[2, 2, 2], &[0; 8]);
    assert!(matches!(refuse(&whole[..23]), Error::Truncated { expected: 8, found: 7, .. }));
    assert!(matches!(refuse(&whole[..9]), Error::Truncated { expected: 16, found: 9, .. }));
    assert!(matches!(
        refuse(&[whole.clone(), vec![0]].concat()),
        Error::TrailingBytes { expected: 8, .. }
    ));
    assert!(matches!(refuse(&idx(&[2], &[0; 2])), Error::BadMagic { found: [0, 0, 8, 1], .. }));
    assert!(matches!(refuse(&idx(&[0, 28, 28], &[])), Error::Empty(_)));
    assert!(matches!(refuse(&idx(&[u32::MAX; 3], &[])), Error::TooLarge { .. }));
    let (_dir, cut) = file(&format!("{NAME}.gz"), &gz(&whole)[..20]);
    assert!(matches!(refused(&cut), Error::Io { .. }));
}

#[test]
fn idx_labels_that_do_not_fit() {
    let with_labels = |labels: Vec<u8>| {
        let dir = tempdir().unwrap();
        let images = idx(&[2, 2, 2], &[0; 8]);
        folder(
            dir.path(),
            &[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)],
        );
        refused(dir.path())
    };
    assert!(matches!(
        with_labels(idx(&[3], &[0; 3])),
        Error::LabelCount { images: 2, labels: 3, .. }
    ));
    assert!(matches!(with_labels(idx(&[2], &[0, 10])), Error::LabelOutOfRange { label: 10, .. }));
}

#[test]
fn a_gzip_bomb_is_unpacked_no_further_than_the_header_says() {
    let bomb = gz(&idx(&[1, 2, 2], &vec![0; 64 << 20]));
    let (_dir, path) = file("train-images-idx3-ubyte.gz", &bomb);
    assert!(matches!(refused(&path), Error::TrailingBytes { expected: 4, .. }));
}

#[test]
fn dataset_json_that_does_not_fit() {
    assert!(matches!(labeled("["), Error::BadLabels { .. }));
    assert!(
        matches!(labeled(r#"[["a.png", 0]]"#), Error::MissingLabel { entry, .. } if entry == "b.png")
    );
    let unknown = labeled(r#"[["a.png", 0], ["b.png", 1], ["c.png", 2]]"#);
    assert!(matches!(unknown, Error::UnknownEntry { entry, .. } if entry == "c.png"));
    let negative = labeled(r#"[["a.png", 0], ["b.png", -1]]"#);
    assert!(matches!(negative, Error::LabelOutOfRange { label: -1, .. }));
    let huge = labeled(r#"[["a.png", 0], ["b.png", 99999999999]]"#);
    assert!(matches!(huge, Error::LabelOutOfRange { label: 99_999_999_999, .. }));
    let vector = labeled(r#"[["a.png", [0, 1]], ["b.png", 1]]"#);
    assert!(matches!(vector, Error::LabelNotInteger { entry, .. } if entry == "a.png"));
}

#[test]
fn archives_and_images_that_are_damaged() {
    let (_dir, path) = file("set.zip", b"PK\x03\x04 this is no archive");
    assert!(matches!(refused(&path), Error::Archive { .. }));

    let broken = png(&rgb(1));
    let cut = zipped(&[("a.png", png(&rgb(0))), ("b.png", broken[..broken.len() - 20].to_vec())]);
    assert!(matches!(&cut, Error::CorruptImage { entry, .. } if entry == "b.png"), "{cut}");
    assert!(matches!(zipped(&[("a.png", b"no image".to_vec())]), Error::CorruptImage { .. }));

    let jpeg = encoded(&picture(3, 32, 0), ImageFormat::Jpeg);
    let cut = zipped(&[("a.jpg", jpeg[..jpeg.len() - 40].to_vec())]);
    assert!(matches!(&cut, Error::TruncatedJpeg(entry) if entry == "a.jpg"), "{cut}");

    // One byte of a stored entry changed: its checksum no longer fits.
    let dir = tempdir().unwrap();
    let path = dir.path().join("set.zip");
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    writer.start_file("a.png", options).unwrap();
    std::io::Write::write_all(&mut writer, &png(&rgb(1))).unwrap();
    writer.finish().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = refused(&path);
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("a.png")), "{error}");
}

#[test]
fn images_that_differ_from_the_first() {
    let sizes = zipped(&[("a.png", png(&rgb(0))), ("b.png", png(&picture(3, 5, 0)))]);
    assert!(
        matches!(&sizes, Error::MixedSizes { entry, expected: (4, 4), found: (5, 5) } if entry == "b.png")
    );
    assert!(sizes.to_string().contains("--size"));
    let channels = zipped(&[("a.png", png(&rgb(0))), ("b.png", png(&picture(1, 4, 0)))]);
    assert!(
        matches!(channels, Error::MixedChannels { entry, expected: 3, found: 1 } if entry == "b.png")
    );
    let layout = zipped(&[("a.png", png(&rgb(0))), ("x/b.png", png(&rgb(1)))]);
    assert!(matches!(layout, Error::MixedLayout(_)));
    let mut clear = Cursor::new(Vec::new());
    RgbaImage::from_pixel(4, 4, image::Rgba([1, 2, 3, 128]))
        .write_to(&mut clear, ImageFormat::Png)
        .unwrap();
    assert!(matches!(zipped(&[("a.png", clear.into_inner())]), Error::Transparent(_)));
}

#[test]
fn without_the_cache_an_odd_image_is_found_when_it_is_read() {
    let dir = tempdir().unwrap();
    folder(dir.path(), &[("a.png", png(&rgb(0))), ("b.png", png(&picture(3, 5, 0)))]);
    let source = open(dir.path(), &OpenOptions { cache_bytes: 0, ..Default::default() }).unwrap();
    let error = datasets::images(&*source, 0..2).unwrap_err();
    assert!(error.to_string().contains("b.png"), "{error}");
}

/// A PNG header that claims a size, with a checksum that fits.
fn png_of_size(width: u32, height: u32) -> Vec<u8> {
    resized_header(png(&Image { channels: 1, height: 1, width: 1, data: vec![0] }), width, height)
}

fn resized_header(mut bytes: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

#[test]
fn a_png_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
    // Over the limit of a side, and within it but over the limit of memory.
    for (width, height) in [(2_000_000_000, 2_000_000_000), (1_000_000, 1), (1, 16_385)] {
        let error = Image::decode(&png_of_size(width, height), "big.png").unwrap_err();
        assert!(matches!(&error, Error::ImageTooLarge(entry) if entry == "big.png"), "{error}");
    }
    let bytes =
        encoded(&Image { channels: 3, height: 1, width: 1, data: vec![0; 3] }, ImageFormat::Png);
    let error = Image::decode(&resized_header(bytes, 16_000, 16_000), "big.png").unwrap_err();
    assert!(matches!(error, Error::ImageTooLarge(_)), "{error}");
}

#[test]
fn raw_pixels_that_do_not_fit() {
    assert!(matches!(
        InMemory::new("x", (3, 2, 2), vec![0; 13], None, 0),
        Err(Error::WrongPixelCount { bytes: 13, image_bytes: 12 })
    ));
    assert!(matches!(
        InMemory::new("x", (3, 2, 2), vec![0; 12], Some(vec![]), 1),
        Err(Error::LabelCount { .. })
    ));
}
