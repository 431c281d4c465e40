//! Every format, read back.

use crate::fixtures::{
    cifar, encoded, folder, gz, idx, labels, opened, picture, pictures, png, rgb, zip,
};
use datasets::{Color, Error, Image, OpenOptions, Split, images, open};
use image::ImageFormat;
use std::path::Path;
use tempfile::tempdir;

fn test_part() -> OpenOptions {
    OpenOptions { split: Split::Test, ..Default::default() }
}

#[test]
fn cifar10_from_a_folder_and_from_one_file() {
    let dir = tempdir().unwrap();
    let entries = [
        ("data_batch_2.bin", cifar(&[3, 4])),
        ("data_batch_1.bin", cifar(&[9])),
        ("test_batch.bin", cifar(&[7])),
    ];
    folder(dir.path(), &entries);
    let train = opened(dir.path());
    assert_eq!((train.len(), train.classes(), train.shape()), (3, 10, (3, 32, 32)));
    assert_eq!(labels(&*train), [Some(9), Some(3), Some(4)]);
    assert_eq!(train.image(2).unwrap().data, [1; 3072]);
    assert_eq!(labels(&*open(dir.path(), &test_part()).unwrap()), [Some(7)]);
    assert_eq!(labels(&*opened(&dir.path().join("data_batch_2.bin"))), [Some(3), Some(4)]);
}

#[test]
fn mnist_plain_and_gzipped_with_and_without_labels() {
    let dir = tempdir().unwrap();
    let entries = [
        ("train-images-idx3-ubyte", idx(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
        ("train-labels-idx1-ubyte.gz", gz(&idx(&[2], &[5, 0]))),
        ("t10k-images-idx3-ubyte.gz", gz(&idx(&[1, 2, 2], &[9; 4]))),
    ];
    folder(dir.path(), &entries);
    let train = opened(dir.path());
    assert_eq!((train.len(), train.classes(), train.shape()), (2, 10, (1, 2, 3)));
    assert_eq!(labels(&*train), [Some(5), Some(0)]);
    assert_eq!(train.image(1).unwrap().data, [7, 8, 9, 10, 11, 12]);
    let test = open(dir.path(), &test_part()).unwrap();
    assert_eq!((test.len(), test.classes(), test.label(0)), (1, 0, None));
    assert!(images(&*test, 0..1).unwrap().cond.labels.is_none());
}

#[test]
fn edm_zip_and_the_same_files_in_a_folder() {
    let json = br#"{"labels": [["00000/b.png", 4], ["00001/c.png", 0], ["00000/a.png", 2]]}"#;
    let entries = [
        ("00001/c.png", png(&rgb(3))),
        ("dataset.json", json.to_vec()),
        ("00000/b.png", png(&rgb(2))),
        ("00000/a.png", png(&rgb(1))),
        ("__MACOSX/00000/._a.png", b"junk".to_vec()),
    ];
    let dir = tempdir().unwrap();
    let (archive, unpacked) = (dir.path().join("set.zip"), dir.path().join("set"));
    zip(&archive, &entries);
    folder(&unpacked, &entries);
    for path in [archive, unpacked] {
        let source = opened(&path);
        assert_eq!((source.len(), source.classes(), source.shape()), (3, 5, (3, 4, 4)));
        assert_eq!(pictures(&*source), [rgb(1), rgb(2), rgb(3)]);
        assert_eq!(labels(&*source), [Some(2), Some(4), Some(0)]);
    }
}

#[test]
fn edm_zip_without_labels() {
    let dir = tempdir().unwrap();
    for json in [r#"{"labels": null}"#, "{}"] {
        let path = dir.path().join("set.zip");
        zip(
            &path,
            &[("dataset.json", json.into()), ("0/a.png", png(&rgb(1))), ("1/b.png", png(&rgb(2)))],
        );
        let source = opened(&path);
        assert_eq!((source.len(), source.classes(), source.label(0)), (2, 0, None));
    }
}

#[test]
fn images_by_class_in_a_folder_and_in_a_zip_of_that_folder() {
    let dir = tempdir().unwrap();
    let entries = [
        ("dogs/1.png", png(&rgb(2))),
        ("cats/2.PNG", png(&rgb(1))),
        ("dogs/old/0.png", png(&rgb(3))),
        ("readme.txt", vec![]),
    ];
    folder(&dir.path().join("pets"), &entries);
    let inside = entries.clone().map(|(name, bytes)| (format!("pets/{name}"), bytes));
    let inside: Vec<_> =
        inside.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let archive = dir.path().join("pets.zip");
    zip(&archive, &inside);
    for path in [dir.path().join("pets"), archive] {
        let source = opened(&path);
        assert_eq!(pictures(&*source), [rgb(1), rgb(2), rgb(3)]);
        assert_eq!((labels(&*source), source.classes()), (vec![Some(0), Some(1), Some(1)], 2));
    }
}

#[test]
fn a_flat_folder_has_no_labels_and_train_and_test_are_no_classes() {
    let dir = tempdir().unwrap();
    folder(&dir.path().join("flat"), &[("b.png", png(&rgb(2))), ("a.png", png(&rgb(1)))]);
    let flat = opened(&dir.path().join("flat"));
    assert_eq!((pictures(&*flat), flat.classes()), (vec![rgb(1), rgb(2)], 0));

    let parts = dir.path().join("parts");
    let entries = [
        ("train/x/1.png", png(&rgb(1))),
        ("train/y/1.png", png(&rgb(2))),
        ("test/x/1.png", png(&rgb(3))),
    ];
    folder(&parts, &entries);
    assert_eq!(labels(&*opened(&parts)), [Some(0), Some(1)]);
    assert_eq!(pictures(&*open(&parts, &test_part()).unwrap()), [rgb(3)]);
    let no_test = open(dir.path().join("flat"), &test_part()).unwrap_err();
    assert!(matches!(no_test, Error::NoSplit { split: Split::Test, .. }));
}

#[test]
fn jpeg_is_read_nearly_as_written() {
    let dir = tempdir().unwrap();
    let grey = Image {
        channels: 1,
        height: 8,
        width: 8,
        data: (0..64).map(|i| 4 * (i % 8) + 100).collect(),
    };
    folder(dir.path(), &[("a.jpg", encoded(&grey, ImageFormat::Jpeg))]);
    let read = opened(dir.path()).image(0).unwrap();
    assert_eq!((read.channels, read.height, read.width), (1, 8, 8));
    assert!(read.data.iter().zip(&grey.data).all(|(a, b)| a.abs_diff(*b) <= 12));
}

#[test]
fn size_and_color_bring_mixed_images_together() {
    let dir = tempdir().unwrap();
    let colored = Image { channels: 3, height: 6, width: 8, data: vec![90; 144] };
    folder(dir.path(), &[("a.png", png(&picture(1, 4, 0))), ("b.png", png(&colored))]);
    for (color, channels) in [(Color::Grey, 1), (Color::Rgb, 3)] {
        for cache_bytes in [0, 1 << 20] {
            let source = open(
                dir.path(),
                &OpenOptions { size: Some(5), color, cache_bytes, ..Default::default() },
            )
            .unwrap();
            assert_eq!(source.shape(), (channels, 5, 5));
            assert_eq!(source.image(1).unwrap().data, vec![90; 25 * channels as usize]);
        }
    }
}

#[test]
fn images_are_scaled_to_minus_one_to_one_and_labels_are_one_hot() {
    let dir = tempdir().unwrap();
    let values = Image { channels: 1, height: 1, width: 4, data: vec![0, 51, 204, 255] };
    folder(dir.path(), &[("x/a.png", png(&values)), ("y/b.png", png(&values))]);
    let batch = images(&*opened(dir.path()), 0..2).unwrap();
    assert_eq!(batch.images.size(), [2, 1, 1, 4]);
    let pixels = Vec::<f32>::try_from(batch.images.flatten(0, -1)).unwrap();
    for (pixel, expected) in pixels.iter().zip([-1.0, -0.6, 0.6, 1.0, -1.0, -0.6, 0.6, 1.0]) {
        assert!((pixel - expected).abs() < 1e-6);
    }
    let one_hot = Vec::<f32>::try_from(batch.cond.labels.unwrap().flatten(0, -1)).unwrap();
    assert_eq!(one_hot, [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn the_built_in_shapes_need_no_file() {
    let options = OpenOptions { size: Some(24), ..Default::default() };
    let (train, test) = (
        open("shapes", &options).unwrap(),
        open(Path::new("shapes"), &OpenOptions { split: Split::Test, ..options.clone() }).unwrap(),
    );
    assert_eq!((train.classes(), train.shape()), (12, (3, 24, 24)));
    assert_ne!(train.image(0).unwrap(), test.image(0).unwrap());
    let grey =
        open("shapes", &OpenOptions { color: Color::Grey, cache_bytes: 0, ..options }).unwrap();
    assert_eq!(grey.shape(), (1, 24, 24));
}
