//! The readers against each other: one set of weights through .pkl, .pt, .pth and .safetensors.

use crate::assemble::{self, View};
use crate::folder::folder;
use std::collections::BTreeMap;
use std::path::Path;
use weights::{Checkpoint, Dtype, Format, Limits, TensorData};

/// PyTorch's storages and the bytes of an element.
const STORAGES: [(Dtype, &str, usize); 10] = [
    (Dtype::F64, "DoubleStorage", 8),
    (Dtype::F32, "FloatStorage", 4),
    (Dtype::F16, "HalfStorage", 2),
    (Dtype::BF16, "BFloat16Storage", 2),
    (Dtype::I64, "LongStorage", 8),
    (Dtype::I32, "IntStorage", 4),
    (Dtype::I16, "ShortStorage", 2),
    (Dtype::I8, "CharStorage", 1),
    (Dtype::U8, "ByteStorage", 1),
    (Dtype::Bool, "BoolStorage", 1),
];

/// A tensor as the whole of a storage.
fn view(name: &str, data: &TensorData) -> View {
    let (_, class, item) = *STORAGES.iter().find(|row| row.0 == data.dtype).unwrap();
    let size: Vec<i64> = data.shape.iter().map(|&n| n as i64).collect();
    let mut stride = vec![1; size.len()];
    for axis in (1..size.len()).rev() {
        stride[axis - 1] = stride[axis] * size[axis].max(1);
    }
    let (name, storage) = (name.into(), data.bytes.clone());
    View { name, class, item, size, stride, offset: 0, storage }
}

/// Writes the tensors in every format and compares what is read from each with them, bit for bit.
fn check(tensors: &BTreeMap<String, TensorData>) {
    let views: Vec<_> = tensors.iter().map(|(name, data)| view(name, data)).collect();
    let open = |bytes| Checkpoint::from_bytes("file", bytes, Limits::default()).unwrap();
    let zip = open(assemble::zip_file(&views));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    zip.save_safetensors(&path, None, &BTreeMap::new()).unwrap();
    let all = [
        (Format::TorchZip, zip),
        (Format::TorchLegacy, open(assemble::legacy_file(&views))),
        (Format::Pickle, open(assemble::edm_file(&views)).within("ema").unwrap()),
        (Format::Safetensors, weights::open(&path).unwrap()),
    ];
    for (format, file) in all {
        assert_eq!((file.format(), file.tensors().len()), (format, tensors.len()));
        for (name, expected) in tensors {
            assert!(file.read(name).unwrap() == *expected, "{name} differs in {format:?}");
        }
    }
}

#[test]
fn every_type_is_the_same_in_every_format() {
    // All byte patterns, so NaNs, infinities and subnormals are among the floats.
    let tensor = |(dtype, class, item): (Dtype, &str, usize)| {
        let bytes = (0..=255u8).cycle().take(60 * item).map(|x| match dtype {
            Dtype::Bool => x % 2,
            _ => x.wrapping_mul(167).wrapping_add(item as u8),
        });
        let data = TensorData { dtype, shape: vec![3, 4, 5], bytes: bytes.collect() };
        (format!("layer.{class}"), data)
    };
    let mut tensors: BTreeMap<_, _> = STORAGES.into_iter().map(tensor).collect();
    let scalar = TensorData { dtype: Dtype::F32, shape: vec![], bytes: vec![1, 0, 0xc0, 0x7f] };
    tensors.insert("scalar".into(), scalar);
    tensors
        .insert("empty".into(), TensorData { dtype: Dtype::F16, shape: vec![0, 6], bytes: vec![] });
    check(&tensors);
}

/// Every tensor of a file.
fn tensors(file: &Checkpoint) -> BTreeMap<String, TensorData> {
    file.tensors().iter().map(|t| (t.name.clone(), file.read(&t.name).unwrap())).collect()
}

#[test]
fn networks_of_the_official_code_are_the_same_in_every_format() {
    let folder = folder();
    for name in ["edm/ddpmpp.pkl", "edm/ncsnpp_old_torch.pkl"] {
        let network = weights::open(folder.join(name)).unwrap().within("ema").unwrap();
        let found = tensors(&network);
        assert!(found.len() > 100, "{name}");
        check(&found);
    }
}

#[test]
fn both_formats_of_pytorch_agree() {
    let folder = folder();
    let open =
        |name: &str| tensors(&weights::open(folder.join(Path::new("pytorch")).join(name)).unwrap());
    for case in ["dtypes", "views", "nested"] {
        let (zip, legacy) = (open(&format!("{case}.pt")), open(&format!("{case}_legacy.pth")));
        assert!(!zip.is_empty());
        assert!(zip == legacy, "{case}");
        check(&zip);
    }
}
