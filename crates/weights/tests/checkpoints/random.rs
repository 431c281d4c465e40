//! Random tensors and views survive every format.

use crate::assemble::{self, View};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use weights::{Checkpoint, Dtype, Limits, TensorInfo, write_safetensors};

const DTYPES: [Dtype; 13] = [
    Dtype::F64,
    Dtype::F32,
    Dtype::F16,
    Dtype::BF16,
    Dtype::I64,
    Dtype::I32,
    Dtype::I16,
    Dtype::I8,
    Dtype::U64,
    Dtype::U32,
    Dtype::U16,
    Dtype::U8,
    Dtype::Bool,
];

fn tensors() -> impl Strategy<Value = BTreeMap<String, (usize, Vec<usize>)>> {
    proptest::collection::btree_map(".{0,12}", (0..DTYPES.len(), vec(0usize..4, 0..4)), 0..6)
        .prop_map(|mut tensors| {
            tensors.remove("__metadata__");
            tensors
        })
}

/// A view of a storage of 24 elements; sizes are cut down until it fits.
fn view() -> impl Strategy<Value = View> {
    let classes = [("HalfStorage", 2), ("FloatStorage", 4), ("LongStorage", 8), ("ByteStorage", 1)];
    (0..classes.len(), vec((0i64..4, 0i64..6), 0..4), 0i64..24).prop_map(
        move |(class, axes, offset)| {
            let (class, item) = classes[class];
            let (mut size, stride): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
            for axis in 0..size.len() {
                let last = |size: &[i64]| -> i64 {
                    offset
                        + size
                            .iter()
                            .zip(&stride)
                            .map(|(n, step)| (n - 1).max(0) * step)
                            .sum::<i64>()
                };
                while size[axis] > 1 && last(&size) >= 24 {
                    size[axis] -= 1;
                }
            }
            let storage = (0..24 * item).map(|byte| (byte * 37) as u8).collect();
            View { name: "w".into(), class, item, size, stride, offset, storage }
        },
    )
}

/// The elements of a view, by the definition of strides.
fn elements(view: &View) -> Vec<u8> {
    let mut places = vec![view.offset];
    for (&n, &step) in view.size.iter().zip(&view.stride) {
        places = places.iter().flat_map(|&at| (0..n).map(move |i| at + i * step)).collect();
    }
    let bytes = |&at: &i64| view.storage[at as usize * view.item..][..view.item].to_vec();
    places.iter().flat_map(bytes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn safetensors_round_trips(
        tensors in tensors(),
        seed: u8,
        metadata in proptest::collection::btree_map(".{0,8}", ".{0,20}", 0..3),
    ) {
        let infos: Vec<_> = tensors
            .iter()
            .map(|(name, (dtype, shape))| TensorInfo {
                name: name.clone(),
                dtype: DTYPES[*dtype],
                shape: shape.clone(),
            })
            .collect();
        let data = |info: &TensorInfo| -> Vec<u8> {
            let most = if info.dtype == Dtype::Bool { 2 } else { 256 };
            (0..info.n_bytes()).map(|i| ((i * 31 + usize::from(seed)) % most) as u8).collect()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        write_safetensors(&path, &infos, &metadata, |info| Ok(data(info))).unwrap();
        let file = weights::open(&path).unwrap();
        prop_assert_eq!(file.tensors().len(), infos.len());
        prop_assert_eq!(file.metadata(), &metadata);
        for info in &infos {
            prop_assert_eq!(file.tensor(&info.name).unwrap(), info);
            prop_assert_eq!(file.read(&info.name).unwrap().bytes, data(info));
        }
    }

    #[test]
    fn a_view_has_the_elements_that_its_strides_say(view in view()) {
        for file in [assemble::zip_file, assemble::legacy_file, assemble::edm_file] {
            let bytes = file(std::slice::from_ref(&view));
            let file = Checkpoint::from_bytes("x", bytes, Limits::default()).unwrap();
            let name = file.tensors()[0].name.clone();
            prop_assert_eq!(file.read(&name).unwrap().bytes, elements(&view));
        }
    }
}
