//! Networks from files.

use backbones::{EfficientNetLite0, Error, WeightFile};
use std::collections::BTreeMap;
use std::fs;
use tch::{Device, Kind, Tensor};
use testkit::formula;

fn images() -> Tensor {
    Tensor::ones([1, 3, 32, 32], (Kind::Float, Device::Cpu))
}

#[test]
fn a_network_is_read_by_its_published_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let original = EfficientNetLite0::zeroed(Device::Cpu);
    formula::fill(original.parameters(), "");
    original.parameters().save(&path, &BTreeMap::new()).unwrap();
    let read = EfficientNetLite0::open(&path, Device::Cpu).unwrap();
    assert_eq!(read.logits(&images()), original.logits(&images()));
}

#[test]
fn a_file_of_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let mut other = diffusion_core::Parameters::new(Device::Cpu);
    let _ = other.buffer("conv.weight", images());
    other.save(&path, &BTreeMap::new()).unwrap();
    let error = EfficientNetLite0::open(&path, Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }));
    assert!(error.to_string().contains("conv_stem.weight"), "{error}");
    fs::write(&path, "no weights").unwrap();
    let error = EfficientNetLite0::open(&path, Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::Weights(_)), "{error}");
}

const PUBLISHED: WeightFile = WeightFile {
    name: "abc.pth",
    url: "https://example.org/abc.pth",
    sha256: "ba7816bf", // of "abc", FIPS 180-2
    license: "MIT",
};

#[test]
fn a_missing_file_says_where_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = PUBLISHED.in_folder(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }));
    let message = error.to_string();
    assert!(
        message.contains("https://example.org/abc.pth (MIT; its SHA-256 begins with ba7816bf)"),
        "{message}"
    );
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PUBLISHED.name);
    fs::write(&path, "abc").unwrap();
    assert_eq!(PUBLISHED.in_folder(folder.path()).unwrap(), path);
    fs::write(&path, "abd").unwrap();
    let error = PUBLISHED.in_folder(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Checksum { expected: "ba7816bf", .. }), "{error}");
}
