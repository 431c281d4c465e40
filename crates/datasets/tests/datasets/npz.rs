//! NumPy archives of images, well-formed and hostile.

use crate::fixtures::{labels, opened, pictures, refused};
use datasets::{ArrayProblem, Error, Image, ImageSource, NpzImages, OpenOptions, Split, open};
use diffusion_core::npy::Header;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};
use zip::CompressionMethod::{self, Deflated, Stored};
use zip::write::{SimpleFileOptions, ZipWriter};

type Array = (&'static str, Vec<u8>);

fn array(name: &'static str, descr: &str, shape: &[u64], values: &[u8]) -> Array {
    (name, [&Header::new(descr, shape).to_bytes(), values].concat())
}

/// Five pictures of 3 by 4 pixels; every value is told from the others.
fn images() -> Array {
    array("arr_0.npy", "|u1", &[5, 3, 4, 3], &(0..180).collect::<Vec<u8>>())
}

fn npz(method: CompressionMethod, arrays: &[Array]) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("samples.npz");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, bytes) in arrays {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    (dir, path)
}

/// Picture `index` of [`images`].
fn expected(index: usize) -> Image {
    let value = |c: usize, pixel: usize| (36 * index + 3 * pixel + c) as u8;
    let data = (0..3).flat_map(|c| (0..12).map(move |pixel| value(c, pixel))).collect();
    Image { channels: 3, height: 3, width: 4, data }
}

fn problem(arrays: &[Array]) -> ArrayProblem {
    let (_dir, path) = npz(Stored, arrays);
    match refused(&path) {
        Error::Array { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn stored_and_compressed_images_are_the_same_in_any_order() {
    for method in [Stored, Deflated] {
        let (_dir, path) = npz(method, &[images()]);
        let source = NpzImages::open(&path).unwrap();
        assert_eq!((source.len(), source.shape(), source.classes()), (5, (3, 3, 4), 0));
        assert_eq!(source.reads_in_order(), method == Deflated);
        for index in [0, 1, 4, 2, 2, 3, 0, 4] {
            assert_eq!(source.image(index).unwrap(), expected(index), "{method} {index}");
        }
        assert_eq!(pictures(&*opened(&path))[3], expected(3)); // in memory
        assert!(NpzImages::has_images(&path).unwrap());
    }
}

#[test]
fn labels_and_other_arrays_beside_images() {
    let int = |values: &[i64]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let long = array("arr_1.npy", "<i8", &[5], &int(&[3, 0, 1, 1, 2]));
    let short: Vec<u8> = [3i32, 0, 1, 1, 2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let short = array("arr_1.npy", "<i4", &[5], &short);
    let byte = array("arr_1.npy", "|u1", &[5], &[3, 0, 1, 1, 2]);
    let moments = array("mu.npy", "<f8", &[2], &[0; 16]);
    for array in [long, short, byte] {
        let (_dir, path) = npz(Deflated, &[moments.clone(), array, images()]);
        let source = opened(&path);
        assert_eq!(source.classes(), 4);
        assert_eq!(labels(&*source), [3, 0, 1, 1, 2].map(Some));
    }
    let (_dir, path) = npz(Stored, &[array("arr_1.npy", "<i8", &[5], &int(&[0; 5])), moments]);
    assert!(!NpzImages::has_images(&path).unwrap());
    let negative = array("arr_1.npy", "<i8", &[5], &int(&[0, 1, -2, 0, 0]));
    let (_dir, path) = npz(Stored, &[images(), negative]);
    assert!(matches!(refused(&path), Error::LabelOutOfRange { label: -2, .. }));
}

#[test]
fn grey_images_with_and_without_an_axis_for_it() {
    for shape in [&[2, 2, 3][..], &[2, 2, 3, 1]] {
        let (_dir, path) = npz(Stored, &[array("arr_0.npy", "|u1", shape, &[7; 12])]);
        assert_eq!(opened(&path).shape(), (1, 2, 3));
    }
}

#[test]
fn arrays_that_are_no_images_are_refused() {
    let of = |descr: &str, shape: &[u64], values: &[u8]| {
        problem(&[array("arr_0.npy", descr, shape, values)])
    };
    for shape in [
        &[][..],
        &[12],
        &[2, 6],
        &[1, 2, 3, 2],
        &[0, 2, 3, 3],
        &[1, 0, 3, 3],
        &[1, 1 << 20, 1, 1],
        &[1, 16_384, 16_384, 3],
        &[1 << 60, 2, 2, 3],
        &[u64::MAX, u64::MAX, 1, 1],
    ] {
        let found = of("|u1", shape, &[0; 12]);
        assert!(matches!(found, ArrayProblem::NotImages { .. }), "{shape:?}: {found}");
    }
    assert!(
        matches!(of("<f4", &[1, 1, 1, 3], &[0; 12]), ArrayProblem::NotBytes { found, .. } if found == "<f4")
    );
    for bytes in [11, 13] {
        let found = of("|u1", &[1, 2, 2, 3], &vec![0; bytes]);
        assert!(matches!(found, ArrayProblem::Length { .. }), "{found}");
    }
    assert!(matches!(problem(&[("arr_0.npy", b"PK".to_vec())]), ArrayProblem::NotArray));
    let missing = problem(&[array("images.npy", "|u1", &[1, 2, 2, 3], &[0; 12])]);
    assert!(matches!(missing, ArrayProblem::Missing { found } if found == ["images.npy"]));
}

#[test]
fn arrays_that_are_no_labels_are_refused() {
    let of = |descr: &str, shape: &[u64], values: &[u8]| {
        problem(&[images(), array("arr_1.npy", descr, shape, values)])
    };
    let float = of("<f4", &[5], &[0; 20]);
    assert!(matches!(float, ArrayProblem::NotIntegers { .. }), "{float}");
    for shape in [&[4][..], &[5, 1], &[]] {
        let other = of("|u1", shape, &[0; 5]);
        assert!(matches!(other, ArrayProblem::NotLabels { images: 5, .. }), "{other}");
    }
    let short = of("<i8", &[5], &[0; 39]);
    assert!(matches!(short, ArrayProblem::Length { found: 39, needed: 40 }), "{short}");
}

#[test]
fn damaged_archives_are_errors() {
    let damaged = |method, damage: fn(&mut Vec<u8>)| {
        let (dir, path) = npz(method, &[images()]);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let options = OpenOptions { cache_bytes: 0, ..OpenOptions::default() };
        let source =
            open(&path, &options).map(|source| (0..5).try_for_each(|i| source.image(i).map(drop)));
        drop(dir);
        source.and_then(|read| read).is_err()
    };
    assert!(damaged(Stored, |bytes| bytes.truncate(100)));
    assert!(damaged(Deflated, |bytes| bytes.truncate(100)));
    assert!(damaged(Deflated, |bytes| bytes[90] ^= 0x55)); // the stream, or its checksum
    assert!(!damaged(Deflated, |_| ()));
    let (_dir, path) = npz(Stored, &[images()]);
    let options = OpenOptions { split: Split::Test, ..OpenOptions::default() };
    assert!(matches!(open(&path, &options), Err(Error::NoSplit { .. })));
    assert!(matches!(NpzImages::open(Path::new("nowhere.npz")), Err(Error::Io { .. })));
}
