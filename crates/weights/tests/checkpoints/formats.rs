//! The same tensors through every format.

use crate::assemble::{self, View};
use serde_json::json;
use std::collections::BTreeMap;
use weights::{Checkpoint, Dtype, Format, Limits};

fn view(name: &str, size: &[i64], stride: &[i64], offset: i64) -> View {
    let storage = (0..24u16).flat_map(|x| (x * 257).to_le_bytes()).collect();
    let (name, size, stride) = (name.into(), size.into(), stride.into());
    View { name, class: "ShortStorage", item: 2, size, stride, offset, storage }
}

fn open(bytes: Vec<u8>) -> Checkpoint {
    Checkpoint::from_bytes("file", bytes, Limits::default()).unwrap()
}

#[test]
fn the_same_weights_are_the_same_bytes_in_every_format() {
    let views = [
        view("whole", &[4, 6], &[6, 1], 0),
        view("transposed", &[6, 4], &[1, 6], 0),
        view("column", &[4], &[6], 5),
        view("expanded", &[2, 3], &[0, 1], 7),
        view("scalar", &[], &[], 23),
        view("empty", &[0, 6], &[6, 1], 0),
        view("steps", &[2, 2, 2], &[12, 6, 2], 1),
    ];
    let zip = open(assemble::zip_file(&views));
    let legacy = open(assemble::legacy_file(&views));
    let edm = open(assemble::edm_file(&views)).within("ema").unwrap();
    assert_eq!(zip.format(), Format::TorchZip);
    assert_eq!(legacy.format(), Format::TorchLegacy);
    assert_eq!(edm.format(), Format::Pickle);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    zip.save_safetensors(&path, None, &BTreeMap::new()).unwrap();
    let safetensors = weights::open(&path).unwrap();
    assert_eq!(safetensors.format(), Format::Safetensors);

    assert_eq!(zip.tensors().len(), views.len());
    for (tensor, view) in zip.tensors().iter().zip(&views) {
        assert_eq!((&tensor.name, tensor.dtype), (&view.name, Dtype::I16));
        let expected = zip.read(&view.name).unwrap();
        assert_eq!(expected.shape.iter().map(|&n| n as i64).collect::<Vec<_>>(), view.size);
        for other in [&legacy, &edm, &safetensors] {
            assert_eq!(
                other.read(&view.name).unwrap(),
                expected,
                "{} {:?}",
                view.name,
                other.format()
            );
        }
    }
    assert_eq!(zip.read("column").unwrap().to_f32(), [5.0, 11.0, 17.0, 23.0].map(|x| x * 257.0));
    assert_eq!(zip.total_bytes(), 2 * (24 + 24 + 4 + 6 + 1 + 8));
}

#[test]
fn a_network_says_how_it_was_built() {
    let file = open(assemble::edm_file(&[view("w", &[4, 6], &[6, 1], 0)]));
    assert_eq!(file.tensors()[0].name, "ema.w");
    assert_eq!((file.sections(), file.objects()), (vec!["ema"], vec!["ema"]));
    let object = file.object("ema").unwrap();
    assert_eq!(object.class, "EDMPrecond");
    assert_eq!(object.init_kwargs["channel_mult"], json!([1, 2]));
    assert_eq!(object.attributes["sigma_data"], json!(0.5));
    assert!(object.init_args.is_empty());
    assert_eq!(file.within("ema").unwrap().object("").unwrap(), object);
    assert!(file.values().unwrap().is_empty(), "what a network holds is no value of the file");
}

#[test]
fn a_state_dict_leaves_out_what_is_not_persistent() {
    let tensor = |name: &str| (name.to_owned(), view(name, &[1], &[1], 0));
    let [weight, mean, mask] = ["weight", "mean", "mask"].map(tensor);
    let pickled = |(_, view): &(String, View)| assemble::tensor(view, 0, assemble::Style::Embedded);
    let inner = assemble::dict(&[
        ("_parameters", assemble::dict(&[("weight", pickled(&weight)), ("bias", b"N".into())])),
        ("_buffers", assemble::dict(&[("mean", pickled(&mean)), ("mask", pickled(&mask))])),
        ("_non_persistent_buffers_set", [b"\x8f(", &assemble::text("mask")[..], b"\x90"].concat()),
        ("_modules", b"}".into()),
    ]);
    let layer = [b"ctorch.nn.modules.linear\nLinear\n)\x81", &inner[..], b"b"].concat();
    let file = assemble::dict(&[("net", layer)]);
    let file = open(assemble::pickle(&file));
    let names: Vec<_> = file.tensors().iter().map(|tensor| &*tensor.name).collect();
    assert_eq!(names, ["net.weight", "net.mean"]);
}

#[test]
fn values_are_what_is_no_tensor() {
    let tensor = assemble::tensor(&view("w", &[4, 6], &[6, 1], 0), 0, assemble::Style::Embedded);
    let list = [b"](", &tensor[..], &assemble::int(7), b"e"].concat();
    let inf = [b"G", &f64::INFINITY.to_be_bytes()[..]].concat();
    let file = assemble::dict(&[
        ("state", assemble::dict(&[("w", tensor)])),
        ("list", list),
        ("sigma_max", inf),
        ("big", b"\x8a\x09\0\0\0\0\0\0\0\0\x40".into()),
        ("raw", b"C\x02\x00\xff".into()),
        ("dtype", b"ctorch\nfloat16\n".into()),
        ("none", b"N".into()),
        ("empty", b"}".into()),
    ]);
    let file = open(assemble::pickle(&file));
    let names: Vec<_> = file.tensors().iter().map(|tensor| &*tensor.name).collect();
    assert_eq!(names, ["state.w", "list.0"]);
    assert_eq!(file.sections(), ["state", "list"]);
    let values = file.values().unwrap();
    let expected = [
        ("big", json!({ "big_int": "1180591620717411303424" })), // 2^70
        ("dtype", json!("torch.float16")),
        ("empty", json!({})),
        ("list.1", json!(7)),
        ("none", json!(null)),
        ("raw", json!({ "bytes_hex": "00ff" })),
        ("sigma_max", json!("inf")),
    ];
    assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)).into());
}
